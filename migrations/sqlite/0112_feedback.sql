-- What people think of calls and conversations by text.
CREATE TABLE feedback (
    id      TEXT    NOT NULL PRIMARY KEY,
    -- The call it is about; forgotten with it.
    call    TEXT    REFERENCES calls (id) ON DELETE CASCADE,
    -- The conversation by text it is about. Sessions are no rows: they end by themselves.
    session TEXT,
    -- Counted from 1 within it; null: the whole of it is meant.
    turn    INTEGER,
    -- 1, the worst, to 5; a thumb is 1 or 5.
    rating  INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
    thumbs  TEXT    CHECK (thumbs IN ('up', 'down')),
    comment TEXT,
    at      INTEGER NOT NULL,
    CHECK (call IS NOT NULL OR session IS NOT NULL)
) STRICT;

CREATE INDEX feedback_newest ON feedback (at DESC, id DESC);
CREATE INDEX feedback_call ON feedback (call) WHERE call IS NOT NULL;
CREATE INDEX feedback_session ON feedback (session, at DESC, id DESC) WHERE session IS NOT NULL;
