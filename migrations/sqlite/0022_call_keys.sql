-- The idempotency keys under which calls were asked for, for a day. migrations/postgres/ holds the same; both change together.
CREATE TABLE call_keys (
    -- The Milo that was asked.
    node   TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    -- What was asked for, hashed: the same key for another call is a mistake.
    print  INTEGER NOT NULL,
    call   TEXT    NOT NULL,
    called TEXT    NOT NULL,
    trunk  TEXT,
    plan   TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (node, key)
) STRICT, WITHOUT ROWID;
