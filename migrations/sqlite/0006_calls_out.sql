-- What came of a call that Milo placed. migrations/postgres/ holds the same; both change together.

-- None for calls that came in, and while it is not known yet.
ALTER TABLE calls ADD COLUMN outcome TEXT
    CHECK (outcome IN ('answered', 'busy', 'no answer', 'refused', 'failed', 'cancelled'));
-- The SIP status with which it was answered or refused; none where nobody said one.
ALTER TABLE calls ADD COLUMN sip_status INTEGER;
