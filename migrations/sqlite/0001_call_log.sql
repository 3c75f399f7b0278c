-- The call log. SQLite has no types for times, identifiers and JSON; here they are
--   times        INTEGER, milliseconds since 1970-01-01 UTC (they sort, and compare without parsing)
--   identifiers  TEXT, UUID version 7 in lower case (they sort by the time they were made)
--   JSON         TEXT
-- The same log for Postgres, with that database's own types, is migrations/postgres/. Both change together.

-- One row a call: written when the call begins, completed when it ends.
CREATE TABLE calls (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- The Milo that holds the call. Rows that it left open are closed at its next start, those of others are not touched.
    node       TEXT    NOT NULL,
    -- SIP Call-ID (RFC 3261 section 20.8). Not unique: a caller may send the same one again.
    call_id    TEXT    NOT NULL,
    direction  TEXT    NOT NULL CHECK (direction IN ('in', 'out')),
    caller     TEXT    NOT NULL,
    called     TEXT    NOT NULL,
    -- The plan that the called number led to; none until one is picked.
    dialplan   TEXT,
    language   TEXT,
    started    INTEGER NOT NULL,
    answered   INTEGER,
    -- Without an end the call is live (or was cut off by a crash, until the next start).
    ended      INTEGER,
    end_reason TEXT,
    hangup_by  TEXT CHECK (hangup_by IN ('caller', 'milo', 'network'))
) STRICT;

-- The list of calls, newest first, one page after the other.
CREATE INDEX calls_newest ON calls (started DESC, id DESC);
-- Open rows are few: finding them at start costs nothing, however long the log.
CREATE INDEX calls_open ON calls (node) WHERE ended IS NULL;

-- One row a turn: what the caller said, what Milo answered, and how long each stage took.
CREATE TABLE turns (
    call                TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number              INTEGER NOT NULL,
    at                  INTEGER NOT NULL,
    heard               TEXT,
    said                TEXT,
    -- As much of `said` as had left on the wire when the caller interrupted.
    said_heard          TEXT,
    interrupted         INTEGER NOT NULL,
    confidence          REAL,
    language            TEXT,
    -- Milliseconds, in the order in which they pass; a stage that did not happen has none.
    vad_ms              REAL,
    end_of_turn_ms      REAL,
    stt_ms              REAL,
    llm_first_token_ms  REAL,
    tts_first_sample_ms REAL,
    packet_out_ms       REAL,
    total_ms            REAL,
    PRIMARY KEY (call, number)
) STRICT, WITHOUT ROWID;

-- What else happened in a call: ringing, digits, interruptions, engine failures.
CREATE TABLE events (
    call   TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    detail TEXT    NOT NULL,
    PRIMARY KEY (call, number)
) STRICT, WITHOUT ROWID;
