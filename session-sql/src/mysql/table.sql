CREATE TABLE IF NOT EXISTS {table} (
    id         BINARY(16) NOT NULL,
    revision   BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    deadline   BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    principal  VARBINARY(255) NULL,
    meta       LONGBLOB NOT NULL,
    data       LONGBLOB NOT NULL,
    -- Never later than expires_at, and mostly earlier: purges find the dead by its index, and whoever puts the expiry
    -- off leaves it alone.
    filed_at   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    KEY filed_at (filed_at),
    KEY principal (principal)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
