//! Nothing but tests: what stored values are where serde_json has every feature that a neighbour may want.
