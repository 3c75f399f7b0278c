-- What callers want of the people of the house. migrations/postgres/ holds the same; both change together.
CREATE TABLE requests (
    id        TEXT    NOT NULL PRIMARY KEY,
    -- The call in which it was made; forgotten with it.
    call      TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    kind      TEXT    NOT NULL CHECK (kind IN ('message', 'call_back')),
    -- The number at which they are to be reached, where one is known.
    telephone TEXT,
    -- When they want it, in their words.
    wanted    TEXT,
    text      TEXT,
    at        INTEGER NOT NULL,
    -- When somebody said that it is done; null: it is open.
    done      INTEGER,
    done_by   TEXT
) STRICT;

CREATE INDEX requests_newest ON requests (at DESC, id DESC);
CREATE INDEX requests_call ON requests (call);
CREATE INDEX requests_telephone ON requests (telephone) WHERE telephone IS NOT NULL;
