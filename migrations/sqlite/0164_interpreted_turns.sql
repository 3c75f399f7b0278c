-- What two have said between whom Milo interpreted, as turns: who said what stands in heard, where it is not whoever speaks with Milo, and
-- in which language Milo told it to the other. migrations/postgres/ holds the same; both change together.
ALTER TABLE turns ADD COLUMN heard_from TEXT CHECK (heard_from IN ('caller', 'called', 'waiting'));
ALTER TABLE turns ADD COLUMN said_in TEXT CHECK (said_in IN ('mg', 'fr'));
