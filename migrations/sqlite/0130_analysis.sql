-- What the model has written down of a call once it was over; deleted with the call.
CREATE TABLE call_analyses (
    call   TEXT    NOT NULL PRIMARY KEY REFERENCES calls (id) ON DELETE CASCADE,
    at     INTEGER NOT NULL,
    -- JSON: summary, outcome, sentiment, tags, fields. Null: nothing came of it.
    result TEXT,
    -- Why nothing came of it.
    why    TEXT,
    CHECK ((result IS NULL) <> (why IS NULL))
) STRICT, WITHOUT ROWID;
