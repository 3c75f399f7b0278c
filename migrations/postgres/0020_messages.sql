-- Texts (SIP MESSAGE), received and sent. migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE messages (
    id         uuid        NOT NULL PRIMARY KEY,
    node       text        NOT NULL,
    direction  text        NOT NULL CHECK (direction IN ('in', 'out')),
    sender     text        NOT NULL,
    recipient  text        NOT NULL,
    trunk      text,
    account    text,
    call       uuid,
    text       text        NOT NULL,
    at         timestamptz NOT NULL,
    result     text,
    sip_status integer
);
COMMENT ON COLUMN messages.node IS 'The Milo that took or sent it. Those whose fate it left open are settled at its next start.';
COMMENT ON COLUMN messages.account IS 'The account that sent it, or that it is for.';
COMMENT ON COLUMN messages.call IS 'The call whose plan sent it.';
COMMENT ON COLUMN messages.result IS 'What became of it; null while that is open.';

CREATE INDEX messages_newest ON messages (at DESC, id DESC);
CREATE INDEX messages_open ON messages (node) WHERE result IS NULL;
