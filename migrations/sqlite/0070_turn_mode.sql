-- Where the language model is that answered a turn: in Milo's own process (local), or on a server that was asked (cloud). None where no
-- model answered. migrations/postgres/ holds the same; both change together.
ALTER TABLE turns ADD COLUMN mode TEXT CHECK (mode IN ('local', 'cloud'));
