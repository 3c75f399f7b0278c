-- What the model has written down of a call once it was over. migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE call_analyses (
    call   uuid        NOT NULL PRIMARY KEY REFERENCES calls (id) ON DELETE CASCADE,
    at     timestamptz NOT NULL,
    result jsonb,
    why    text,
    CHECK ((result IS NULL) <> (why IS NULL))
);
COMMENT ON TABLE call_analyses IS 'Deleted with its call.';
COMMENT ON COLUMN call_analyses.result IS 'summary, outcome, sentiment, tags, fields. Null: nothing came of it.';
COMMENT ON COLUMN call_analyses.why IS 'Why nothing came of it.';
