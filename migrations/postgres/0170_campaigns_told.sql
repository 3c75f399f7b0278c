-- What webhooks are told may be about a campaign in place of a call. migrations/sqlite/ holds the same for SQLite; both change together.
ALTER TABLE webhook_deliveries ALTER COLUMN call DROP NOT NULL;
ALTER TABLE webhook_deliveries ADD COLUMN campaign uuid REFERENCES campaigns (id) ON DELETE CASCADE;
ALTER TABLE webhook_deliveries ADD CHECK ((call IS NULL) <> (campaign IS NULL));
COMMENT ON TABLE webhook_deliveries IS 'One row for each event and target, deleted once it is told; with its call or campaign, if that is forgotten before.';
COMMENT ON COLUMN webhook_deliveries.campaign IS 'What it is about, where that is no call.';

CREATE INDEX webhook_deliveries_campaign ON webhook_deliveries (campaign) WHERE campaign IS NOT NULL;
