-- What each trunk has carried out on each day (UTC), for its limits by day. migrations/postgres/ holds the same; both change
-- together.
CREATE TABLE trunk_days (
    -- The Milo that counts: each has limits of its own.
    node    TEXT    NOT NULL,
    trunk   TEXT    NOT NULL,
    day     TEXT    NOT NULL,
    calls   INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    PRIMARY KEY (node, trunk, day)
) STRICT, WITHOUT ROWID;
