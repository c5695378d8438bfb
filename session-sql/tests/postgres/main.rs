//! The Postgres driver where the conformance suite does not look: schema, roles, faults, damage.
