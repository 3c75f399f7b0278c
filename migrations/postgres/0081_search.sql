-- Searching the call log. migrations/sqlite/ does the same in its own way; both change together.

-- By number, exactly or by its beginning: text_pattern_ops compares bytes, whatever the database's language.
CREATE INDEX calls_caller ON calls (caller text_pattern_ops);
CREATE INDEX calls_called ON calls (called text_pattern_ops);
-- By what treated it, what came of it, and those that nobody answered: each with the newest first.
CREATE INDEX calls_dialplan ON calls (dialplan, started DESC, id DESC);
CREATE INDEX calls_outcome ON calls (outcome, started DESC, id DESC) WHERE outcome IS NOT NULL;
CREATE INDEX calls_missed ON calls (started DESC, id DESC)
    WHERE direction = 'in' AND answered IS NULL AND ended IS NOT NULL;

-- By what was said. The configuration "simple" cuts no endings off: it knows neither Malagasy nor which language a turn is in.
-- Bodies that are bound when they are made, whatever search_path is in force when they run: that of ANALYZE, of a restore.
CREATE FUNCTION folded(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURNS NULL ON NULL INPUT
    -- Both cases: lower() knows letters outside ASCII only where the database's language does.
    RETURN translate(lower(said), 'àáâãäåçèéêëìíîïñòóôõöùúûüýÿÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝŸ', 'aaaaaaceeeeiiiinooooouuuuyyaaaaaaceeeeiiiinooooouuuuyy');
COMMENT ON FUNCTION folded IS 'Small letters without accents: search finds "écoute" by "ecoute".';
CREATE FUNCTION turn_words(heard text, said text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('simple'::regconfig, folded(coalesce(heard, '') || ' ' || coalesce(said, '')));
CREATE INDEX turns_words ON turns USING gin (turn_words(heard, said));
