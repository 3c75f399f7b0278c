-- Where a call's recording is, and what became of it. migrations/sqlite/ holds the same; both change together.

ALTER TABLE calls
    ADD COLUMN recording text,
    ADD COLUMN recording_state text
        CHECK (recording_state IN ('live', 'complete', 'failed', 'cut_off', 'deleted'));
COMMENT ON COLUMN calls.recording IS 'Its file, as a path within the folder of recordings; of several in one call, the last.';
COMMENT ON COLUMN calls.recording_state IS
    'live: it grows. complete. failed: it ended before the call did. cut_off: Milo was stopped. deleted: it was older than recordings are kept.';
