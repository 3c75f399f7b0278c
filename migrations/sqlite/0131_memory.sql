-- What is known of callers from their last call. migrations/postgres/ holds the same; both change together.
CREATE TABLE memories (
    number   TEXT    NOT NULL PRIMARY KEY,
    -- The last call: deleted, it takes with it what is known from it.
    call     TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    -- From then on nothing of it is known.
    expires  INTEGER NOT NULL,
    name     TEXT,
    language TEXT    NOT NULL,
    summary  TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX memories_call ON memories (call);
CREATE INDEX memories_expires ON memories (expires);
