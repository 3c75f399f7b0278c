-- What came of a call that Milo placed. migrations/sqlite/ holds the same for SQLite; both change together.

ALTER TABLE calls ADD COLUMN outcome text
    CHECK (outcome IN ('answered', 'busy', 'no answer', 'refused', 'failed', 'cancelled'));
ALTER TABLE calls ADD COLUMN sip_status integer;
COMMENT ON COLUMN calls.outcome IS 'Null for calls that came in, and while it is not known yet.';
COMMENT ON COLUMN calls.sip_status IS 'The SIP status with which it was answered or refused; null where nobody said one.';
