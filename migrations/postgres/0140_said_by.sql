-- Who has said what stands in a turn. migrations/sqlite/ holds the same; both change together.

ALTER TABLE turns
    ADD COLUMN said_by text;
COMMENT ON COLUMN turns.said_by IS
    'The name of the key of a person who has taken the call over from Milo. Null where Milo has said it.';
