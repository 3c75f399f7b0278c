-- Keys of the API. migrations/postgres/ holds the same; both change together.
CREATE TABLE api_keys (
    id        TEXT    NOT NULL PRIMARY KEY,
    -- What people call it: "the call centre's screen".
    name      TEXT    NOT NULL,
    -- SHA-256 of the key. The key itself is shown once, when it is made, and kept nowhere.
    hash      BLOB    NOT NULL UNIQUE,
    -- The key before the last rotation, and until when it is still taken.
    old_hash  BLOB,
    old_until INTEGER,
    -- What it may do, separated by spaces: calls, text, read, admin.
    scopes    TEXT    NOT NULL,
    tier      TEXT    NOT NULL CHECK (tier IN ('free', 'pro', 'enterprise')),
    created   INTEGER NOT NULL,
    -- None: it lasts until it is revoked.
    expires   INTEGER,
    revoked   INTEGER,
    -- To the minute.
    used      INTEGER
) STRICT;

-- What was done by those who run Milo.
CREATE TABLE audit (
    id      TEXT    NOT NULL PRIMARY KEY,
    node    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    -- The key that did it; none for API_KEY, this machine and the command line.
    key     TEXT,
    -- The key's name, or "API_KEY", "this machine", "command line".
    who     TEXT    NOT NULL,
    -- Where it came from.
    address TEXT,
    -- What was done: "keys.create", "bans.delete".
    action  TEXT    NOT NULL,
    -- What it was done to.
    target  TEXT,
    detail  TEXT
) STRICT;

CREATE INDEX audit_newest ON audit (at DESC, id DESC);
