-- Searching the call log. migrations/postgres/ does the same in its own way; both change together.

-- By number, exactly or by its beginning.
CREATE INDEX calls_caller ON calls (caller);
CREATE INDEX calls_called ON calls (called);
-- By what treated it, what came of it, and those that nobody answered: each with the newest first.
CREATE INDEX calls_dialplan ON calls (dialplan, started DESC, id DESC);
CREATE INDEX calls_outcome ON calls (outcome, started DESC, id DESC) WHERE outcome IS NOT NULL;
CREATE INDEX calls_missed ON calls (started DESC, id DESC)
    WHERE direction = 'in' AND answered IS NULL AND ended IS NOT NULL;

-- By what was said: the words of each turn (FTS5, https://sqlite.org/fts5.html), without the text itself, which stands in turns.
-- A turn has no rowid; turn_rows lends it one that lasts.
CREATE TABLE turn_rows (
    id     INTEGER NOT NULL PRIMARY KEY,
    call   TEXT    NOT NULL,
    number INTEGER NOT NULL,
    UNIQUE (call, number)
) STRICT;
CREATE VIRTUAL TABLE turn_words USING fts5 (words, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');

INSERT INTO turn_rows (call, number) SELECT call, number FROM turns ORDER BY at;
INSERT INTO turn_words (rowid, words)
    SELECT turn_rows.id, coalesce(turns.heard, '') || ' ' || coalesce(turns.said, '') FROM turn_rows
    JOIN turns ON turns.call = turn_rows.call AND turns.number = turn_rows.number;

CREATE TRIGGER turns_words AFTER INSERT ON turns BEGIN
    INSERT INTO turn_rows (call, number) VALUES (new.call, new.number);
    INSERT INTO turn_words (rowid, words)
        SELECT id, coalesce(new.heard, '') || ' ' || coalesce(new.said, '') FROM turn_rows
        WHERE call = new.call AND number = new.number;
END;
CREATE TRIGGER turns_words_gone AFTER DELETE ON turns BEGIN
    DELETE FROM turn_words WHERE rowid = (SELECT id FROM turn_rows WHERE call = old.call AND number = old.number);
    DELETE FROM turn_rows WHERE call = old.call AND number = old.number;
END;
