-- Keys of the API. migrations/sqlite/ holds the same for SQLite; both change together.
CREATE TABLE api_keys (
    id        uuid        NOT NULL PRIMARY KEY,
    name      text        NOT NULL,
    hash      bytea       NOT NULL UNIQUE,
    old_hash  bytea,
    old_until timestamptz,
    scopes    text        NOT NULL,
    tier      text        NOT NULL CHECK (tier IN ('free', 'pro', 'enterprise')),
    created   timestamptz NOT NULL,
    expires   timestamptz,
    revoked   timestamptz,
    used      timestamptz
);
COMMENT ON COLUMN api_keys.name IS 'What people call it: "the call centre''s screen".';
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the key. The key itself is shown once, when it is made, and kept nowhere.';
COMMENT ON COLUMN api_keys.old_hash IS 'The key before the last rotation, taken until old_until.';
COMMENT ON COLUMN api_keys.scopes IS 'What it may do, separated by spaces: calls, text, read, admin.';
COMMENT ON COLUMN api_keys.expires IS 'Null: it lasts until it is revoked.';
COMMENT ON COLUMN api_keys.used IS 'When it was last sent, to the minute.';

-- Every Milo hears at once that keys have changed, whoever changed them: psql too.
CREATE FUNCTION api_keys_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('api_keys', '');
    RETURN NULL;
END $$;
CREATE TRIGGER api_keys_changed
    AFTER INSERT OR DELETE OR UPDATE OF hash, old_hash, old_until, scopes, tier, expires, revoked ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();

-- What was done by those who run Milo.
CREATE TABLE audit (
    id      uuid        NOT NULL PRIMARY KEY,
    node    text        NOT NULL,
    at      timestamptz NOT NULL,
    key     uuid,
    who     text        NOT NULL,
    address text,
    action  text        NOT NULL,
    target  text,
    detail  text
);
COMMENT ON COLUMN audit.key IS 'The key that did it; null for API_KEY, this machine and the command line.';
COMMENT ON COLUMN audit.who IS 'The key''s name, or "API_KEY", "this machine", "command line".';
COMMENT ON COLUMN audit.action IS 'What was done: "keys.create", "bans.delete".';

CREATE INDEX audit_newest ON audit (at DESC, id DESC);
