-- What callers want of the people of the house. migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE requests (
    id        uuid        NOT NULL PRIMARY KEY,
    call      uuid        NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    kind      text        NOT NULL CHECK (kind IN ('message', 'call_back')),
    telephone text,
    wanted    text,
    text      text,
    at        timestamptz NOT NULL,
    done      timestamptz,
    done_by   text
);
COMMENT ON COLUMN requests.call IS 'The call in which it was made; forgotten with it.';
COMMENT ON COLUMN requests.telephone IS 'The number at which they are to be reached, where one is known.';
COMMENT ON COLUMN requests.wanted IS 'When they want it, in their words.';
COMMENT ON COLUMN requests.done IS 'When somebody said that it is done; null: it is open.';

CREATE INDEX requests_newest ON requests (at DESC, id DESC);
CREATE INDEX requests_call ON requests (call);
CREATE INDEX requests_telephone ON requests (telephone) WHERE telephone IS NOT NULL;
