-- Batches: many texts or sounds in one request, done one after the other. migrations/sqlite/ holds the same for SQLite; both change
-- together.
CREATE TABLE batches (
    id      uuid        NOT NULL PRIMARY KEY,
    node    text        NOT NULL,
    key     uuid,
    who     text        NOT NULL,
    kind    text        NOT NULL CHECK (kind IN ('translate', 'tts', 'stt')),
    state   text        NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    total   integer     NOT NULL,
    running integer     NOT NULL DEFAULT 0,
    done    integer     NOT NULL DEFAULT 0,
    failed  integer     NOT NULL DEFAULT 0,
    created timestamptz NOT NULL,
    started timestamptz,
    ended   timestamptz
);
COMMENT ON COLUMN batches.node IS 'The Milo that took it and does it: its sounds lie in that one''s data folder.';
COMMENT ON COLUMN batches.key IS 'The key whose it is; null for API_KEY and this machine.';
COMMENT ON COLUMN batches.state IS 'queued, running; done when every item has ended, failed when every one has failed, cancelled.';
COMMENT ON COLUMN batches.running IS 'Items, as total, done and failed: kept here, so that a list of batches reads no items.';

CREATE INDEX batches_newest ON batches (created DESC, id DESC);
CREATE INDEX batches_of_key ON batches (key, created DESC, id DESC);
-- What is to be done next, and when what has ended is forgotten.
CREATE INDEX batches_open ON batches (node, created, id) WHERE ended IS NULL;
CREATE INDEX batches_ended ON batches (ended) WHERE ended IS NOT NULL;

-- One row an item. What has ended stays ended, whatever happens to Milo; the one that was running begins again.
CREATE TABLE batch_items (
    batch  uuid    NOT NULL REFERENCES batches ON DELETE CASCADE,
    number integer NOT NULL,
    state  text    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    input  jsonb   NOT NULL,
    result jsonb,
    error  text,
    PRIMARY KEY (batch, number)
);
COMMENT ON COLUMN batch_items.number IS 'From 0, as it stood in the request.';
COMMENT ON COLUMN batch_items.input IS 'What was asked for, with the request''s defaults in it; a sound that is to be heard lies in a file.';
COMMENT ON COLUMN batch_items.result IS 'What the address that does one such thing would have answered.';
COMMENT ON COLUMN batch_items.error IS 'Why it failed: a sentence.';

CREATE INDEX batch_items_next ON batch_items (batch, number) WHERE state = 'queued';
