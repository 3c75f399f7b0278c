-- Where a turn is in its call's recording: milliseconds from the beginning of the file that ran then, none where none ran.
-- migrations/postgres/ holds the same; both change together.

-- Where the caller began to speak, where it had finished, and where the first sample of Milo's is.
ALTER TABLE turns ADD COLUMN recording_heard_from_ms INTEGER;
ALTER TABLE turns ADD COLUMN recording_heard_to_ms INTEGER;
ALTER TABLE turns ADD COLUMN recording_said_from_ms INTEGER;
