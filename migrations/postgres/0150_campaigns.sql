-- Campaigns: lists of numbers that Milo calls one after the other. migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE campaigns (
    id       uuid        NOT NULL PRIMARY KEY,
    name     text        NOT NULL,
    who      text        NOT NULL,
    state    text        NOT NULL CHECK (state IN ('running', 'paused', 'finished', 'cancelled')),
    settings jsonb       NOT NULL,
    columns  jsonb       NOT NULL,
    zones    jsonb       NOT NULL,
    created  timestamptz NOT NULL,
    ended    timestamptz
);
COMMENT ON COLUMN campaigns.who IS 'The name of the key that made it, or API_KEY, this machine.';
COMMENT ON COLUMN campaigns.settings IS 'What was asked for, without the list.';
COMMENT ON COLUMN campaigns.columns IS 'The names of the variables, in the order of the list''s head.';
COMMENT ON COLUMN campaigns.zones IS 'The time zones of its numbers, each once.';

CREATE INDEX campaigns_newest ON campaigns (created DESC, id DESC);
CREATE INDEX campaigns_running ON campaigns (created, id) WHERE state = 'running';
CREATE INDEX campaigns_ended ON campaigns (ended) WHERE ended IS NOT NULL;

-- One row a line of the list. A Milo that calls one holds it until its lease ends, which it puts off while the call is up.
CREATE TABLE campaign_rows (
    campaign  uuid        NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    line      integer     NOT NULL,
    called    text        NOT NULL,
    target    text        NOT NULL,
    zone      text        NOT NULL,
    variables jsonb       NOT NULL,
    state     text        NOT NULL CHECK (state IN ('waiting', 'calling', 'done', 'skipped', 'cancelled')),
    attempts  integer     NOT NULL DEFAULT 0,
    due       timestamptz NOT NULL,
    outcome   text,
    tried     jsonb       NOT NULL DEFAULT '[]',
    call      uuid,
    begun     timestamptz,
    node      text,
    lease     timestamptz,
    PRIMARY KEY (campaign, line)
);
COMMENT ON COLUMN campaign_rows.line IS 'Where it stood in the list, counted from 1.';
COMMENT ON COLUMN campaign_rows.target IS 'The number in the form in which numbers are compared: who is written in two ways is one.';
COMMENT ON COLUMN campaign_rows.state IS 'skipped: its number is on the do-not-call list.';
COMMENT ON COLUMN campaign_rows.attempts IS 'How often it was called, the call that is up among them.';
COMMENT ON COLUMN campaign_rows.due IS 'Before this moment it is not called.';
COMMENT ON COLUMN campaign_rows.outcome IS 'What came of the last call.';
COMMENT ON COLUMN campaign_rows.tried IS 'The calls that are over: which, when, and what came of each.';
COMMENT ON COLUMN campaign_rows.call IS 'The call that is up, and since when; the Milo that places it, and until when it holds the row.';

-- What is called next.
CREATE INDEX campaign_rows_next ON campaign_rows (campaign, zone, due, line) WHERE state = 'waiting';
-- Nobody is called twice at once, whichever campaigns and Milos would.
CREATE UNIQUE INDEX campaign_rows_target ON campaign_rows (target) WHERE state = 'calling';
CREATE INDEX campaign_rows_calling ON campaign_rows (campaign) WHERE state = 'calling';
CREATE INDEX campaign_rows_lease ON campaign_rows (lease) WHERE state = 'calling';
CREATE INDEX campaign_rows_called ON campaign_rows (called);

-- Whom no campaign calls.
CREATE TABLE do_not_call (
    id     uuid        NOT NULL PRIMARY KEY,
    number text        NOT NULL,
    target text        NOT NULL UNIQUE,
    note   text,
    who    text        NOT NULL,
    added  timestamptz NOT NULL
);
COMMENT ON COLUMN do_not_call.target IS 'The number in the form in which numbers are compared.';
COMMENT ON COLUMN do_not_call.note IS 'Why, in the words of whoever added it.';
