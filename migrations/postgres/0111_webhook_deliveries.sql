-- What programs of the operator's are still to be told of calls. migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE webhook_deliveries (
    id       uuid        NOT NULL PRIMARY KEY,
    node     text        NOT NULL,
    target   text        NOT NULL,
    call     uuid        NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    kind     text        NOT NULL,
    at       timestamptz NOT NULL,
    body     text        NOT NULL,
    attempts integer     NOT NULL DEFAULT 0,
    due      timestamptz NOT NULL,
    error    text,
    dead     timestamptz
);
COMMENT ON TABLE webhook_deliveries IS 'One row for each event and target, deleted once it is told; with its call, if that is forgotten before.';
COMMENT ON COLUMN webhook_deliveries.id IS 'UUID version 7: what a target is told of one call is told in this order.';
COMMENT ON COLUMN webhook_deliveries.node IS 'The Milo that tells it.';
COMMENT ON COLUMN webhook_deliveries.target IS 'The name of one of [[webhooks]].';
COMMENT ON COLUMN webhook_deliveries.body IS 'JSON, to the byte as it is signed and sent.';
COMMENT ON COLUMN webhook_deliveries.due IS 'When it is tried next.';
COMMENT ON COLUMN webhook_deliveries.error IS 'What was wrong with the last try.';
COMMENT ON COLUMN webhook_deliveries.dead IS 'When it was given up. Null: it waits.';

-- What waits for a target, and what waits before it of the same call.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (node, target, due) WHERE dead IS NULL;
CREATE INDEX webhook_deliveries_call ON webhook_deliveries (call, target, id);
CREATE INDEX webhook_deliveries_given_up ON webhook_deliveries (node, target, dead) WHERE dead IS NOT NULL;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (dead DESC, id DESC) WHERE dead IS NOT NULL;
