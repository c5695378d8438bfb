CREATE TABLE IF NOT EXISTS {table} (
    id         BINARY(16) NOT NULL,
    revision   BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    deadline   BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    principal  VARBINARY(255) NULL,
    meta       LONGBLOB NOT NULL,
    data       LONGBLOB NOT NULL,
    -- expires_at in steps of 17 minutes. The index for purges is on it, so that a touch mostly changes the row alone.
    purge_slot BIGINT GENERATED ALWAYS AS (expires_at DIV 1048576) STORED,
    PRIMARY KEY (id),
    KEY purge_slot (purge_slot),
    KEY principal (principal)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
