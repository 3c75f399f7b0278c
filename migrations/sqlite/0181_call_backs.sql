-- Calls back that Milo places itself: a campaign may stand, and take the numbers of callers one by one. migrations/postgres/ holds the same;
-- both change together.
-- standing: it goes on when nobody is left to call, and is found by its name.
ALTER TABLE campaigns ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX campaigns_standing ON campaigns (name) WHERE standing AND ended IS NULL;

-- Who calls back is Milo: the row of campaign_rows, which says how far that is; it may be gone.
ALTER TABLE requests ADD COLUMN campaign TEXT;
ALTER TABLE requests ADD COLUMN line INTEGER;
CREATE INDEX requests_campaign ON requests (campaign, line) WHERE campaign IS NOT NULL;
CREATE INDEX campaign_rows_of ON campaign_rows (target, campaign);
