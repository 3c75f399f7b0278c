-- Where a call's recording is, and what became of it. migrations/postgres/ holds the same; both change together.

-- Its file, as a path within the folder of recordings; of several in one call, the last.
ALTER TABLE calls ADD COLUMN recording TEXT;
-- live: it grows. complete. failed: it ended before the call did, what is there can be played. cut_off: Milo was stopped,
-- what is there can be played. deleted: it was older than recordings are kept.
ALTER TABLE calls ADD COLUMN recording_state TEXT
    CHECK (recording_state IN ('live', 'complete', 'failed', 'cut_off', 'deleted'));
