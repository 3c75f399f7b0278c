-- Where a turn is in its call's recording. migrations/sqlite/ holds the same; both change together.

ALTER TABLE turns
    ADD COLUMN recording_heard_from_ms bigint,
    ADD COLUMN recording_heard_to_ms bigint,
    ADD COLUMN recording_said_from_ms bigint;
COMMENT ON COLUMN turns.recording_heard_from_ms IS
    'Where the caller began to speak: milliseconds from the beginning of the file that ran then. Null where none ran.';
COMMENT ON COLUMN turns.recording_heard_to_ms IS 'Where the caller had finished.';
COMMENT ON COLUMN turns.recording_said_from_ms IS 'Where the first sample of Milo''s is.';
