//! The table `calls`: one row a call.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;

use super::{Batch, Key, Stamp, Store, StoreError};

/// The reason in rows that a crash left open.
pub(super) const CUT_OFF: &str = "milo was stopped during the call";

/// What is known when a call begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewCall {
    /// SIP Call-ID; empty until an INVITE of ours has one.
    pub call_id: String,
    /// True for a call that came in.
    pub incoming: bool,
    /// The caller's number (user part).
    pub from: String,
    /// The called number (user part).
    pub to: String,
    /// The plan that was picked, if one was.
    pub dialplan: Option<String>,
    /// What the caller is taken to speak.
    pub language: Option<String>,
    /// When the INVITE came or left.
    pub started: Stamp,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HangupBy {
    /// The other party.
    Caller,
    /// Milo.
    Milo,
    /// Nobody: packets stayed away, or the connection broke.
    Network,
}

impl HangupBy {
    /// `caller`, `milo` or `network`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Milo => "milo",
            Self::Network => "network",
        }
    }
}

/// What came of a call that Milo placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Somebody answered, or a machine.
    Answered,
    /// They speak with somebody else.
    Busy,
    /// It rang for too long, or nothing was heard at all.
    NoAnswer,
    /// They, or the network, do not take the call.
    Refused,
    /// It could not be placed.
    Failed,
    /// It was taken back before the answer.
    Cancelled,
}

impl Outcome {
    /// `answered`, `busy`, `no answer`, `refused`, `failed` or `cancelled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::NoAnswer => "no answer",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingState {
    /// All of it was written.
    Complete,
    /// It ended before its call did.
    Failed,
}

impl RecordingState {
    /// `complete` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// When.
    pub at: Stamp,
    /// A few words.
    pub reason: String,
    /// Who hung up.
    pub by: HangupBy,
    /// The language that was spoken in the end.
    pub language: Option<String>,
    /// How its legs sounded: a list, one object a leg.
    pub quality: Option<Value>,
    /// What came of a call that Milo placed, and the SIP status that said so.
    pub outcome: Option<(Outcome, Option<u16>)>,
}

/// A call of the log, as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = Call)]
pub struct CallRow {
    /// Its identifier.
    pub id: Key,
    /// SIP Call-ID.
    #[schema(example = "a84b4c76e66710@192.0.2.4")]
    pub call_id: String,
    /// `in` or `out`.
    #[schema(example = "in")]
    pub direction: String,
    /// The caller's number.
    #[serde(rename = "from")]
    #[schema(example = "0341234567")]
    pub caller: String,
    /// The called number.
    #[serde(rename = "to")]
    #[schema(example = "milo")]
    pub called: String,
    /// The plan that treated it.
    #[schema(example = "milo")]
    pub dialplan: Option<String>,
    /// What was spoken.
    #[schema(example = "mg")]
    pub language: Option<String>,
    /// When it began.
    pub started: Stamp,
    /// When it was answered.
    pub answered: Option<Stamp>,
    /// When it ended; none while it is live.
    pub ended: Option<Stamp>,
    /// Why it ended.
    #[schema(example = "hung up")]
    pub end_reason: Option<String>,
    /// `caller`, `milo` or `network`.
    #[schema(example = "caller")]
    pub hangup_by: Option<String>,
    /// What came of a call that Milo placed: `answered`, `busy`, `no answer`, `refused`, `failed` or `cancelled`.
    #[schema(example = "answered")]
    pub outcome: Option<String>,
    /// The SIP status that said so.
    #[schema(example = 200)]
    pub sip_status: Option<i32>,
    /// Its recording's file within the folder of recordings.
    #[schema(example = "2026-11-30/0193a5e2.ogg")]
    pub recording: Option<String>,
    /// `live`, `complete`, `failed`, `cut_off` or `deleted`; none when the call was not recorded.
    #[schema(example = "complete")]
    pub recording_state: Option<String>,
    /// How its legs sounded, once it has ended: one object a leg.
    #[sqlx(json(nullable))]
    #[schema(example = json!([{"leg": "caller", "codec": "PCMA", "lost": 0}]))]
    pub quality: Option<Value>,
    /// How many turns were spoken.
    #[schema(minimum = 0, example = 3)]
    pub turn_count: i64,
}

/// One page of the list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CallPage)]
pub struct Page {
    /// Newest first.
    pub calls: Vec<CallRow>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Columns in the order of [`CallRow`], of the table `calls`.
macro_rules! columns {
    () => {
        "SELECT calls.id, call_id, direction, caller, called, dialplan, language, started, answered, ended, end_reason, hangup_by,
            outcome, sip_status, recording, recording_state, quality,
            (SELECT count(*) FROM turns WHERE turns.call = calls.id) AS turn_count "
    };
}
pub(super) use columns;

impl Store {
    /// One call.
    pub async fn call(&self, key: Key) -> Result<Option<CallRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(concat!(columns!(), "FROM calls WHERE id = $1")).bind(key).fetch_optional(pool).await)
            .map_err(|error| self.failed("reading a call", error))
    }

    /// Closes the rows that `node` left open when it was killed; each ends with the last thing that is known of it. Returns
    /// how many there were.
    pub async fn close_left_open(&self, node: &str) -> Result<u64, StoreError> {
        let closed = on!(Pool, &self.pool, pool => sqlx::query(
            "UPDATE calls SET end_reason = $1,
             outcome = CASE WHEN direction = 'in' THEN NULL WHEN answered IS NULL THEN 'failed' ELSE 'answered' END,
             recording_state = CASE recording_state WHEN 'live' THEN 'cut_off' ELSE recording_state END,
             ended = (
                 SELECT max(known.at) FROM (
                     SELECT calls.started AS at
                     UNION ALL SELECT calls.answered
                     UNION ALL SELECT max(turns.at) FROM turns WHERE turns.call = calls.id
                     UNION ALL SELECT max(events.at) FROM events WHERE events.call = calls.id
                 ) AS known
             )
             WHERE ended IS NULL AND node = $2",
        )
        .bind(CUT_OFF)
        .bind(node)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()));
        closed.map_err(|error| self.failed("closing the calls of a crash", error))
    }
}

impl Store {
    /// These recordings are no longer there.
    pub async fn recordings_deleted(&self, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            let written = on!(Pool, &self.pool, pool => sqlx::query("UPDATE calls SET recording_state = 'deleted' WHERE recording = $1")
                .bind(name)
                .execute(pool)
                .await
                .map(drop));
            written.map_err(|error| self.failed("writing down what was deleted", error))?;
        }
        Ok(())
    }
}

impl Batch {
    /// The row of a call that begins. Written twice, it stays as it is.
    pub(super) async fn insert_call(&mut self, node: &str, key: Key, call: &NewCall) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO calls (id, node, call_id, direction, caller, called, dialplan, language, started)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        )
        .bind(key)
        .bind(node)
        .bind(&call.call_id)
        .bind(if call.incoming { "in" } else { "out" })
        .bind(&call.from)
        .bind(&call.to)
        .bind(&call.dialplan)
        .bind(&call.language)
        .bind(call.started)
        .execute(&mut **rows)
        .await
        .map(drop))
    }

    /// An INVITE with this Call-ID has left for the call.
    pub(super) async fn place_call(&mut self, key: Key, call_id: &str) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query("UPDATE calls SET call_id = $1 WHERE id = $2")
            .bind(call_id)
            .bind(key)
            .execute(&mut **rows)
            .await
            .map(drop))
    }

    /// The call was answered.
    pub(super) async fn answer_call(&mut self, key: Key, at: Stamp) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query("UPDATE calls SET answered = $1 WHERE id = $2")
            .bind(at)
            .bind(key)
            .execute(&mut **rows)
            .await
            .map(drop))
    }

    /// The call's recording began.
    pub(super) async fn begin_recording(&mut self, key: Key, name: &str) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query("UPDATE calls SET recording = $1, recording_state = 'live' WHERE id = $2")
            .bind(name)
            .bind(key)
            .execute(&mut **rows)
            .await
            .map(drop))
    }

    /// The call's recording ended.
    pub(super) async fn end_recording(&mut self, key: Key, state: RecordingState) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query("UPDATE calls SET recording_state = $1 WHERE id = $2")
            .bind(state.as_str())
            .bind(key)
            .execute(&mut **rows)
            .await
            .map(drop))
    }

    /// The call ended.
    pub(super) async fn end_call(&mut self, key: Key, ending: &Ending) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "UPDATE calls SET ended = $1, end_reason = $2, hangup_by = $3, language = coalesce($4, language), quality = $5,
             outcome = coalesce($6, CASE WHEN direction = 'in' THEN NULL WHEN answered IS NULL THEN 'failed' ELSE 'answered' END),
             sip_status = $7 WHERE id = $8",
        )
        .bind(ending.at)
        .bind(&ending.reason)
        .bind(ending.by.as_str())
        .bind(&ending.language)
        .bind(ending.quality.as_ref().map(Json))
        .bind(ending.outcome.map(|(outcome, _)| outcome.as_str()))
        .bind(ending.outcome.and_then(|(_, status)| status).map(i32::from))
        .bind(key)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
