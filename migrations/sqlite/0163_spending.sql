-- What was taken of the language model's server on each day (UTC), for the limit by day. migrations/postgres/ holds the same; both
-- change together.
CREATE TABLE spending (
    -- The Milo that counts: each has a limit of its own.
    node              TEXT    NOT NULL,
    day               TEXT    NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    PRIMARY KEY (node, day)
) STRICT, WITHOUT ROWID;
