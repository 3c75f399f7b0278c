-- How far each Milo's journal is in the database. While the database is away (the disk is full, or another program holds it), a
-- Milo writes the rows of the call log into a file of its own. When it is back, each transaction that writes some of them moves
-- `applied` too: rows and mark are there together, or neither is.
CREATE TABLE journals (
    node    TEXT    NOT NULL PRIMARY KEY,
    -- Which journal it was: the first line of the file names it.
    journal TEXT    NOT NULL,
    -- Bytes of it from its beginning whose entries are in the database.
    applied INTEGER NOT NULL
) STRICT;
