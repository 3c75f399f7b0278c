-- Batches: many texts or sounds in one request, done one after the other. migrations/postgres/ holds the same; both change together.
CREATE TABLE batches (
    id      TEXT    NOT NULL PRIMARY KEY,
    -- The Milo that took it and does it: its sounds lie in that one's data folder.
    node    TEXT    NOT NULL,
    -- The key whose it is; none for API_KEY and this machine.
    key     TEXT,
    who     TEXT    NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('translate', 'tts', 'stt')),
    -- queued, running; done when every item has ended, failed when every one has failed, cancelled.
    state   TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    -- Items: kept here, so that a list of batches reads no items.
    total   INTEGER NOT NULL,
    running INTEGER NOT NULL DEFAULT 0,
    done    INTEGER NOT NULL DEFAULT 0,
    failed  INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    started INTEGER,
    ended   INTEGER
) STRICT;

CREATE INDEX batches_newest ON batches (created DESC, id DESC);
CREATE INDEX batches_of_key ON batches (key, created DESC, id DESC);
-- What is to be done next, and when what has ended is forgotten.
CREATE INDEX batches_open ON batches (node, created, id) WHERE ended IS NULL;
CREATE INDEX batches_ended ON batches (ended) WHERE ended IS NOT NULL;

-- One row an item. What has ended stays ended, whatever happens to Milo; the one that was running begins again.
CREATE TABLE batch_items (
    batch  TEXT    NOT NULL REFERENCES batches ON DELETE CASCADE,
    -- From 0, as it stood in the request.
    number INTEGER NOT NULL,
    state  TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    -- What was asked for, with the request's defaults in it (JSON); a sound that is to be heard lies in a file.
    input  TEXT    NOT NULL,
    -- What the address that does one such thing would have answered (JSON).
    result TEXT,
    -- Why it failed: a sentence.
    error  TEXT,
    PRIMARY KEY (batch, number)
) STRICT;

CREATE INDEX batch_items_next ON batch_items (batch, number) WHERE state = 'queued';
