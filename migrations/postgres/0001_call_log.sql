-- The call log. migrations/sqlite/ holds the same for SQLite; both change together.

CREATE TABLE calls (
    id         uuid        NOT NULL PRIMARY KEY,
    node       text        NOT NULL,
    call_id    text        NOT NULL,
    direction  text        NOT NULL CHECK (direction IN ('in', 'out')),
    caller     text        NOT NULL,
    called     text        NOT NULL,
    dialplan   text,
    language   text,
    started    timestamptz NOT NULL,
    answered   timestamptz,
    ended      timestamptz,
    end_reason text,
    hangup_by  text CHECK (hangup_by IN ('caller', 'milo', 'network'))
);
COMMENT ON TABLE calls IS 'One row a call: written when the call begins, completed when it ends.';
COMMENT ON COLUMN calls.id IS 'UUID version 7: sorts by the time it was made.';
COMMENT ON COLUMN calls.node IS 'The Milo that holds the call. Rows that it left open are closed at its next start.';
COMMENT ON COLUMN calls.call_id IS 'SIP Call-ID (RFC 3261 section 20.8). Not unique: a caller may send the same one again.';
COMMENT ON COLUMN calls.ended IS 'Null: the call is live, or was cut off by a crash and its Milo has not started since.';

-- The list of calls, newest first. The pair (started, id) is also the cursor from one page to the next.
CREATE INDEX calls_newest ON calls (started DESC, id DESC);
-- A partial index: open rows are few, so finding them at start costs nothing, however long the log.
CREATE INDEX calls_open ON calls (node) WHERE ended IS NULL;

CREATE TABLE turns (
    call                uuid        NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number              integer     NOT NULL,
    at                  timestamptz NOT NULL,
    heard               text,
    said                text,
    said_heard          text,
    interrupted         boolean     NOT NULL,
    confidence          double precision,
    language            text,
    vad_ms              double precision,
    end_of_turn_ms      double precision,
    stt_ms              double precision,
    llm_first_token_ms  double precision,
    tts_first_sample_ms double precision,
    packet_out_ms       double precision,
    total_ms            double precision,
    -- Also the index by which a call's turns are read, in order.
    PRIMARY KEY (call, number)
);
COMMENT ON TABLE turns IS 'What the caller said, what Milo answered, and the milliseconds of each stage, in the order in which they pass.';
COMMENT ON COLUMN turns.said_heard IS 'As much of said as had left on the wire when the caller interrupted.';

CREATE TABLE events (
    call   uuid        NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number integer     NOT NULL,
    at     timestamptz NOT NULL,
    kind   text        NOT NULL,
    detail jsonb       NOT NULL,
    PRIMARY KEY (call, number)
);
COMMENT ON TABLE events IS 'What else happened in a call: ringing, digits, interruptions, engine failures.';
