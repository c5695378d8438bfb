CREATE TABLE IF NOT EXISTS "{table}" (
    id         BLOB    NOT NULL PRIMARY KEY,
    revision   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    deadline   INTEGER NOT NULL,
    touched_at INTEGER NOT NULL,
    filed_at   INTEGER NOT NULL,
    principal  TEXT    COLLATE BINARY,
    meta       BLOB    NOT NULL,
    data       BLOB    NOT NULL
);
CREATE INDEX IF NOT EXISTS "{table}_filed_at" ON "{table}" (filed_at);
CREATE INDEX IF NOT EXISTS "{table}_principal" ON "{table}" (principal, id) WHERE principal IS NOT NULL;
CREATE VIEW IF NOT EXISTS "{table}_json" AS
SELECT
    lower(hex(id)) AS id,
    revision >> 32 AS revision,
    principal,
    strftime('%Y-%m-%dT%H:%M:%fZ', touched_at / 1000.0, 'unixepoch') AS touched_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', expires_at / 1000.0, 'unixepoch') AS expires_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', deadline / 1000.0, 'unixepoch') AS deadline,
    CASE WHEN json_valid(CAST(data AS TEXT)) THEN CAST(data AS TEXT) END AS data
FROM "{table}";
