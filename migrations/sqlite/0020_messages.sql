-- Texts (SIP MESSAGE), received and sent. migrations/postgres/ holds the same; both change together.
CREATE TABLE messages (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- The Milo that took or sent it. Those whose fate it left open are settled at its next start.
    node       TEXT    NOT NULL,
    direction  TEXT    NOT NULL CHECK (direction IN ('in', 'out')),
    sender     TEXT    NOT NULL,
    recipient  TEXT    NOT NULL,
    -- The trunk that it came or went over.
    trunk      TEXT,
    -- The account that sent it, or that it is for.
    account    TEXT,
    -- The call whose plan sent it.
    call       TEXT,
    text       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    -- What became of it; none while that is open.
    result     TEXT,
    sip_status INTEGER
) STRICT;

CREATE INDEX messages_newest ON messages (at DESC, id DESC);
CREATE INDEX messages_open ON messages (node) WHERE result IS NULL;
