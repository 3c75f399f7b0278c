-- Calls back that Milo places itself: a campaign may stand, and take the numbers of callers one by one. migrations/sqlite/ holds the same for
-- SQLite; both change together.
ALTER TABLE campaigns ADD COLUMN standing boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN campaigns.standing IS 'It goes on when nobody is left to call, and is found by its name.';
CREATE UNIQUE INDEX campaigns_standing ON campaigns (name) WHERE standing AND ended IS NULL;

ALTER TABLE requests ADD COLUMN campaign uuid;
ALTER TABLE requests ADD COLUMN line integer;
COMMENT ON COLUMN requests.campaign IS 'Who calls back is Milo: the row of campaign_rows, which says how far that is; it may be gone.';
CREATE INDEX requests_campaign ON requests (campaign, line) WHERE campaign IS NOT NULL;
CREATE INDEX campaign_rows_of ON campaign_rows (target, campaign);
