SET LOCAL lock_timeout = '20s';
SET LOCAL statement_timeout = '20s';
-- Parallel runs take their turns: two of `CREATE .. IF NOT EXISTS` at once can fail each other.
SELECT pg_advisory_xact_lock(hashtext('session-kit {name}'));
CREATE {unlogged}TABLE IF NOT EXISTS {table} (
    id         bytea  NOT NULL PRIMARY KEY,
    revision   bigint NOT NULL,
    expires_at bigint NOT NULL,
    deadline   bigint NOT NULL,
    touched_at bigint NOT NULL,
    principal  bytea,
    meta       bytea  NOT NULL,
    data       bytea  NOT NULL,
    -- Never later than expires_at, and mostly earlier: purges find the dead by its index, and whoever puts the expiry
    -- off leaves it alone. A change of a column in an index is a change of every index; with free room in the page,
    -- most touches and updates need none.
    filed_at   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 75);
CREATE INDEX IF NOT EXISTS "{name}_filed_at" ON {table} (filed_at);
CREATE INDEX IF NOT EXISTS "{name}_principal" ON {table} (principal, id) WHERE principal IS NOT NULL;
-- NULL for what is not text in UTF-8 or, if asked for it, not JSON that every operator takes: `json` itself
-- lets \u0000 in, at which `->>` then fails.
CREATE OR REPLACE FUNCTION {schema}"{name}_text"(bytes bytea, only_json boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog AS $$
BEGIN
    IF only_json THEN
        PERFORM convert_from(bytes, 'UTF8')::jsonb;
    END IF;
    RETURN convert_from(bytes, 'UTF8');
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;
CREATE OR REPLACE VIEW {schema}"{name}_json" AS
SELECT
    encode(id, 'hex') AS id,
    revision >> 32 AS revision,
    coalesce({schema}"{name}_text"(principal, false), encode(principal, 'escape')) AS principal,
    CASE WHEN touched_at BETWEEN 0 AND 253402300799999 THEN to_timestamp(touched_at / 1000.0) END AS touched_at,
    CASE WHEN expires_at BETWEEN 0 AND 253402300799999 THEN to_timestamp(expires_at / 1000.0) END AS expires_at,
    CASE WHEN deadline BETWEEN 0 AND 253402300799999 THEN to_timestamp(deadline / 1000.0) END AS deadline,
    {schema}"{name}_text"(data, true)::json AS data
FROM {table};
