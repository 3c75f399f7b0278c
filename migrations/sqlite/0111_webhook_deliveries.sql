-- What programs of the operator's are still to be told of calls: one row for each event and target, deleted once it is told, and
-- with its call, if that is forgotten before.
CREATE TABLE webhook_deliveries (
    -- What a target is told of one call is told in the order of these.
    id       TEXT    NOT NULL PRIMARY KEY,
    -- The Milo that tells it.
    node     TEXT    NOT NULL,
    -- The name of one of [[webhooks]].
    target   TEXT    NOT NULL,
    call     TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
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
    dead     INTEGER
) STRICT;

-- What waits for a target, and what waits before it of the same call.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (node, target, due) WHERE dead IS NULL;
CREATE INDEX webhook_deliveries_call ON webhook_deliveries (call, target, id);
CREATE INDEX webhook_deliveries_given_up ON webhook_deliveries (node, target, dead) WHERE dead IS NOT NULL;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (dead DESC, id DESC) WHERE dead IS NOT NULL;
