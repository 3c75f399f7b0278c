-- The idempotency keys under which campaigns were asked for, for a day: of all Milos together, as campaigns are. A key outlives its
-- campaign, so that nobody is called again by a late retry. migrations/postgres/ holds the same; both change together.
CREATE TABLE campaign_keys (
    key      TEXT    NOT NULL PRIMARY KEY,
    -- What was asked for, hashed: the same key for another campaign is a mistake.
    print    INTEGER NOT NULL,
    campaign TEXT    NOT NULL,
    -- How many numbers it had.
    total    INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
