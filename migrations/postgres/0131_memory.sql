-- What is known of callers from their last call. migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE memories (
    number   text        NOT NULL PRIMARY KEY,
    call     uuid        NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    at       timestamptz NOT NULL,
    expires  timestamptz NOT NULL,
    name     text,
    language text        NOT NULL,
    summary  text
);
CREATE INDEX memories_call ON memories (call);
CREATE INDEX memories_expires ON memories (expires);
COMMENT ON COLUMN memories.call IS 'The last call: deleted, it takes with it what is known from it.';
COMMENT ON COLUMN memories.expires IS 'From then on nothing of it is known.';
