-- Who has said what stands in a turn, where a person has taken the call over from Milo: the name of their key. None where Milo has.
-- migrations/postgres/ holds the same; both change together.
ALTER TABLE turns ADD COLUMN said_by TEXT;
