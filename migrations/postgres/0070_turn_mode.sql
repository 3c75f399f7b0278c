-- Where the language model is that answered a turn. migrations/sqlite/ holds the same; both change together.

ALTER TABLE turns
    ADD COLUMN mode text CHECK (mode IN ('local', 'cloud'));
COMMENT ON COLUMN turns.mode IS
    'In Milo''s own process (local), or on a server that was asked (cloud). Null where no model answered.';
