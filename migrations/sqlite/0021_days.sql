-- What each trunk has carried out on each day (UTC), and what each account has called, for their limits by day.
-- migrations/postgres/ holds the same; both change together.
CREATE TABLE days (
    -- The Milo that counts: each has limits of its own.
    node    TEXT    NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('trunk', 'account')),
    name    TEXT    NOT NULL,
    day     TEXT    NOT NULL,
    calls   INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    PRIMARY KEY (node, kind, name, day)
) STRICT, WITHOUT ROWID;
INSERT INTO days (node, kind, name, day, calls, seconds) SELECT node, 'trunk', trunk, day, calls, seconds FROM trunk_days;
DROP TABLE trunk_days;
