-- What each trunk has carried out on each day (UTC), for its limits by day. migrations/sqlite/ holds the same for SQLite; both
-- change together.
CREATE TABLE trunk_days (
    node    text   NOT NULL,
    trunk   text   NOT NULL,
    day     text   NOT NULL,
    calls   bigint NOT NULL,
    seconds bigint NOT NULL,
    PRIMARY KEY (node, trunk, day)
);
COMMENT ON COLUMN trunk_days.node IS 'The Milo that counts: each has limits of its own.';
