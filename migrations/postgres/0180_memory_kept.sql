-- What came of calls whose words no server may read is told to no persona that asks one. migrations/sqlite/ holds the same for SQLite; both
-- change together. Whose it was that is known already nobody can say: it is told as before.
ALTER TABLE memories ADD COLUMN is_local boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN memories.is_local IS 'A persona that is kept local has spoken in the call.';
