-- The idempotency keys under which calls were asked for, for a day. migrations/sqlite/ holds the same for SQLite; both change
-- together.
CREATE TABLE call_keys (
    node   text        NOT NULL,
    key    text        NOT NULL,
    print  bigint      NOT NULL,
    call   uuid        NOT NULL,
    called text        NOT NULL,
    trunk  text,
    plan   text        NOT NULL,
    at     timestamptz NOT NULL,
    PRIMARY KEY (node, key)
);
COMMENT ON COLUMN call_keys.node IS 'The Milo that was asked.';
COMMENT ON COLUMN call_keys.print IS 'What was asked for, hashed: the same key for another call is a mistake.';
