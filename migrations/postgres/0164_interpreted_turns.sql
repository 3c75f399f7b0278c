-- What two have said between whom Milo interpreted, as turns. migrations/sqlite/ holds the same; both change together.

ALTER TABLE turns
    ADD COLUMN heard_from text CHECK (heard_from IN ('caller', 'called', 'waiting')),
    ADD COLUMN said_in text CHECK (said_in IN ('mg', 'fr'));
COMMENT ON COLUMN turns.heard_from IS
    'Who of two said what was heard, where Milo interpreted between them. Null where it is said to Milo.';
COMMENT ON COLUMN turns.said_in IS
    'The language in which Milo told it to the other of the two. Null where Milo did not interpret.';
