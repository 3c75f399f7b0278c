-- How far each Milo's journal is in the database. migrations/sqlite/ holds the same for SQLite; both change together.
--
-- While the database is away, a Milo writes the rows of the call log into a file of its own. When it is back, each transaction
-- that writes some of them moves `applied` too: rows and mark are there together, or neither is, wherever it is cut off.
CREATE TABLE journals (
    node    text   NOT NULL PRIMARY KEY,
    journal uuid   NOT NULL,
    applied bigint NOT NULL
);
COMMENT ON COLUMN journals.journal IS 'Which journal it was: the first line of the file names it.';
COMMENT ON COLUMN journals.applied IS 'Bytes of it from its beginning whose entries are in the database.';
