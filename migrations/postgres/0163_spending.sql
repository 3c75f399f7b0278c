-- What was taken of the language model's server on each day (UTC), for the limit by day. migrations/sqlite/ holds the same for SQLite;
-- both change together.
CREATE TABLE spending (
    node              text   NOT NULL,
    day               text   NOT NULL,
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    PRIMARY KEY (node, day)
);
COMMENT ON COLUMN spending.node IS 'The Milo that counts: each has a limit of its own.';
