-- What came of calls whose words no server may read is told to no persona that asks one. migrations/postgres/ holds the same; both change
-- together. Whose it was that is known already nobody can say: it is told as before.
-- is_local: a persona that is kept local has spoken in the call.
ALTER TABLE memories ADD COLUMN is_local INTEGER NOT NULL DEFAULT 0;
