-- What each trunk has carried out on each day (UTC), and what each account has called, for their limits by day.
-- migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE days (
    node    text   NOT NULL,
    kind    text   NOT NULL CHECK (kind IN ('trunk', 'account')),
    name    text   NOT NULL,
    day     text   NOT NULL,
    calls   bigint NOT NULL,
    seconds bigint NOT NULL,
    PRIMARY KEY (node, kind, name, day)
);
COMMENT ON COLUMN days.node IS 'The Milo that counts: each has limits of its own.';
INSERT INTO days (node, kind, name, day, calls, seconds) SELECT node, 'trunk', trunk, day, calls, seconds FROM trunk_days;
DROP TABLE trunk_days;
