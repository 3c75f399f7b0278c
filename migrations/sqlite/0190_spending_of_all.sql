-- What of the tokens a server's cache held or took, and what servers were given to hear and to say: it all counts for the limit by day.
-- migrations/postgres/ holds the same; both change together.
ALTER TABLE spending ADD COLUMN cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spending ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spending ADD COLUMN heard_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spending ADD COLUMN spoken_characters INTEGER NOT NULL DEFAULT 0;
