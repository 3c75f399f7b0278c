-- Campaigns: lists of numbers that Milo calls one after the other. migrations/postgres/ holds the same; both change together.
CREATE TABLE campaigns (
    id       TEXT    NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL,
    -- The name of the key that made it, or API_KEY, this machine.
    who      TEXT    NOT NULL,
    state    TEXT    NOT NULL CHECK (state IN ('running', 'paused', 'finished', 'cancelled')),
    -- What was asked for, without the list (JSON).
    settings TEXT    NOT NULL,
    -- The names of the variables, in the order of the list's head (JSON).
    columns  TEXT    NOT NULL,
    -- The time zones of its numbers, each once (JSON).
    zones    TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    ended    INTEGER
) STRICT;

CREATE INDEX campaigns_newest ON campaigns (created DESC, id DESC);
CREATE INDEX campaigns_running ON campaigns (created, id) WHERE state = 'running';
CREATE INDEX campaigns_ended ON campaigns (ended) WHERE ended IS NOT NULL;

-- One row a line of the list. A Milo that calls one holds it until its lease ends, which it puts off while the call is up.
CREATE TABLE campaign_rows (
    campaign  TEXT    NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    -- Where it stood in the list, counted from 1.
    line      INTEGER NOT NULL,
    called    TEXT    NOT NULL,
    -- The number in the form in which numbers are compared: who is written in two ways is one.
    target    TEXT    NOT NULL,
    zone      TEXT    NOT NULL,
    -- JSON.
    variables TEXT    NOT NULL,
    -- skipped: its number is on the do-not-call list.
    state     TEXT    NOT NULL CHECK (state IN ('waiting', 'calling', 'done', 'skipped', 'cancelled')),
    -- How often it was called, the call that is up among them.
    attempts  INTEGER NOT NULL DEFAULT 0,
    -- Before this moment it is not called.
    due       INTEGER NOT NULL,
    -- What came of the last call.
    outcome   TEXT,
    -- The calls that are over: which, when, and what came of each (JSON).
    tried     TEXT    NOT NULL DEFAULT '[]',
    -- The call that is up, and since when; the Milo that places it, and until when it holds the row.
    call      TEXT,
    begun     INTEGER,
    node      TEXT,
    lease     INTEGER,
    PRIMARY KEY (campaign, line)
) STRICT;

-- What is called next.
CREATE INDEX campaign_rows_next ON campaign_rows (campaign, zone, due, line) WHERE state = 'waiting';
-- Nobody is called twice at once, whichever campaigns would.
CREATE UNIQUE INDEX campaign_rows_target ON campaign_rows (target) WHERE state = 'calling';
CREATE INDEX campaign_rows_calling ON campaign_rows (campaign) WHERE state = 'calling';
CREATE INDEX campaign_rows_lease ON campaign_rows (lease) WHERE state = 'calling';
CREATE INDEX campaign_rows_called ON campaign_rows (called);

-- Whom no campaign calls.
CREATE TABLE do_not_call (
    id     TEXT    NOT NULL PRIMARY KEY,
    number TEXT    NOT NULL,
    -- The number in the form in which numbers are compared.
    target TEXT    NOT NULL UNIQUE,
    -- Why, in the words of whoever added it.
    note   TEXT,
    who    TEXT    NOT NULL,
    added  INTEGER NOT NULL
) STRICT;
