-- What webhooks are told may be about a campaign in place of a call. migrations/postgres/ holds the same; both change together. SQLite
-- cannot let a column be empty that was not: the table is made anew.
CREATE TABLE webhook_deliveries_anew (
    -- What a target is told of one call is told in the order of these.
    id       TEXT    NOT NULL PRIMARY KEY,
    -- The Milo that tells it.
    node     TEXT    NOT NULL,
    -- The name of one of [[webhooks]].
    target   TEXT    NOT NULL,
    call     TEXT    REFERENCES calls (id) ON DELETE CASCADE,
    kind     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    -- JSON, to the byte as it is signed and sent.
    body     TEXT    NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    -- When it is tried next.
    due      INTEGER NOT NULL,
    -- What was wrong with the last try.
    error    TEXT,
    -- When it was given up; null: it waits.
    dead     INTEGER,
    -- What it is about, where that is no call.
    campaign TEXT    REFERENCES campaigns (id) ON DELETE CASCADE,
    CHECK ((call IS NULL) <> (campaign IS NULL))
) STRICT;
INSERT INTO webhook_deliveries_anew (id, node, target, call, kind, at, body, attempts, due, error, dead)
    SELECT id, node, target, call, kind, at, body, attempts, due, error, dead FROM webhook_deliveries;
DROP TABLE webhook_deliveries;
ALTER TABLE webhook_deliveries_anew RENAME TO webhook_deliveries;

-- What waits for a target, and what waits before it of the same call.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (node, target, due) WHERE dead IS NULL;
CREATE INDEX webhook_deliveries_call ON webhook_deliveries (call, target, id);
CREATE INDEX webhook_deliveries_given_up ON webhook_deliveries (node, target, dead) WHERE dead IS NOT NULL;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (dead DESC, id DESC) WHERE dead IS NOT NULL;
CREATE INDEX webhook_deliveries_campaign ON webhook_deliveries (campaign) WHERE campaign IS NOT NULL;
