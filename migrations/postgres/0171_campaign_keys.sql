-- The idempotency keys under which campaigns were asked for, for a day. migrations/sqlite/ holds the same for SQLite; both change
-- together.
CREATE TABLE campaign_keys (
    key      text        NOT NULL PRIMARY KEY,
    print    bigint      NOT NULL,
    campaign uuid        NOT NULL,
    total    bigint      NOT NULL,
    at       timestamptz NOT NULL
);
COMMENT ON TABLE campaign_keys IS 'Of all Milos together, as campaigns are; a key outlives its campaign, so that nobody is called again by a late retry.';
COMMENT ON COLUMN campaign_keys.print IS 'What was asked for, hashed: the same key for another campaign is a mistake.';
COMMENT ON COLUMN campaign_keys.total IS 'How many numbers it had.';
