-- What people think of calls and conversations by text. migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE feedback (
    id      uuid        NOT NULL PRIMARY KEY,
    call    uuid        REFERENCES calls (id) ON DELETE CASCADE,
    session text,
    turn    integer,
    rating  smallint    NOT NULL CHECK (rating BETWEEN 1 AND 5),
    thumbs  text        CHECK (thumbs IN ('up', 'down')),
    comment text,
    at      timestamptz NOT NULL,
    CHECK (call IS NOT NULL OR session IS NOT NULL)
);
COMMENT ON COLUMN feedback.call IS 'The call it is about; forgotten with it.';
COMMENT ON COLUMN feedback.session IS 'The conversation by text it is about. Sessions are no rows: they end by themselves.';
COMMENT ON COLUMN feedback.turn IS 'Counted from 1 within it; null: the whole of it is meant.';
COMMENT ON COLUMN feedback.rating IS '1, the worst, to 5; a thumb is 1 or 5.';

CREATE INDEX feedback_newest ON feedback (at DESC, id DESC);
CREATE INDEX feedback_call ON feedback (call) WHERE call IS NOT NULL;
CREATE INDEX feedback_session ON feedback (session, at DESC, id DESC) WHERE session IS NOT NULL;
