//! The table `turns`: what was heard, what was said, and how long each stage took.

use serde::{Deserialize, Serialize};

use super::{Batch, Key, Stamp, Store, StoreError};

/// The milliseconds of a turn's stages, in the order in which they pass; a stage that did not happen has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct Stages {
    /// From the last voiced packet to voice activity's "stopped".
    #[schema(minimum = 0, example = 210.0)]
    pub vad_ms: Option<f64>,
    /// From there to the decision that the turn is over.
    #[schema(minimum = 0, example = 40.5)]
    pub end_of_turn_ms: Option<f64>,
    /// Speech to text, as far as it was waited for.
    #[schema(minimum = 0, example = 95.2)]
    pub stt_ms: Option<f64>,
    /// From the transcript to the model's first token.
    #[schema(minimum = 0, example = 120.8)]
    pub llm_first_token_ms: Option<f64>,
    /// From there to the voice's first sample.
    #[schema(minimum = 0, example = 35.1)]
    pub tts_first_sample_ms: Option<f64>,
    /// From there to the first packet on the wire.
    #[schema(minimum = 0, example = 12.4)]
    pub packet_out_ms: Option<f64>,
    /// From the last voiced packet in to the first packet out.
    #[schema(minimum = 0, example = 514.0)]
    pub total_ms: Option<f64>,
}

impl Stages {
    /// Names and milliseconds, in order: for histograms.
    pub fn named(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("vad", self.vad_ms),
            ("end_of_turn", self.end_of_turn_ms),
            ("stt", self.stt_ms),
            ("llm_first_token", self.llm_first_token_ms),
            ("tts_first_sample", self.tts_first_sample_ms),
            ("packet_out", self.packet_out_ms),
            ("total", self.total_ms),
        ]
    }
}

/// Where a turn is in the call's recording: milliseconds from the beginning of the file that ran then. None where none ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct Places {
    /// Where the caller began to speak, on the left.
    #[sqlx(rename = "recording_heard_from_ms")]
    #[schema(example = 4200)]
    pub heard_from: Option<i64>,
    /// Where the caller had finished.
    #[sqlx(rename = "recording_heard_to_ms")]
    #[schema(example = 6100)]
    pub heard_to: Option<i64>,
    /// Where Milo's first sample is, on the right.
    #[sqlx(rename = "recording_said_from_ms")]
    #[schema(example = 6614)]
    pub said_from: Option<i64>,
}

/// A turn that is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewTurn {
    /// When the caller stopped speaking (Milo's own words, such as the greeting: when they began).
    pub at: Stamp,
    /// The transcript.
    pub heard: Option<String>,
    /// The whole reply.
    pub said: Option<String>,
    /// As much of the reply as was heard.
    pub said_heard: Option<String>,
    /// Who said it, where a person has taken the call over; none: Milo.
    #[serde(default)]
    pub said_by: Option<String>,
    /// Who said what was heard, where Milo interpreted between two: `caller`, `called` or `waiting`; `said` is what the other was told
    /// then. None: it was said to Milo.
    #[serde(default)]
    pub heard_from: Option<String>,
    /// What the other was told it in.
    #[serde(default)]
    pub said_in: Option<String>,
    /// Whether the caller interrupted, or a person took the call over.
    pub interrupted: bool,
    /// The transcriber's confidence, 0 to 1.
    pub confidence: Option<f64>,
    /// `mg` or `fr`.
    pub language: Option<String>,
    /// Where the model is that answered, `local` or `cloud`; none where none did.
    pub mode: Option<String>,
    /// How long it took.
    pub stages: Stages,
    /// Where it is in the recording.
    pub recording_at_ms: Places,
}

/// A turn of the log, as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = Turn)]
pub struct TurnRow {
    /// Counted from 1 within its call.
    pub number: i32,
    /// See [`NewTurn::at`].
    pub at: Stamp,
    /// The transcript.
    #[schema(example = "amin'ny ora firy no misokatra ny birao")]
    pub heard: Option<String>,
    /// The whole reply.
    #[schema(example = "Amin'ny valo ora maraina.")]
    pub said: Option<String>,
    /// As much of the reply as was heard.
    #[schema(example = "Amin'ny valo ora maraina.")]
    pub said_heard: Option<String>,
    /// Who said it, where a person has taken the call over: the name of their key. None: Milo.
    #[schema(example = "reception")]
    pub said_by: Option<String>,
    /// Who said what was heard, where Milo interpreted between two: `caller`, `called`, or `waiting`, whom the caller has taken from a
    /// line. What the other was told is in `said`, and what of it they heard in `said_heard`, none where that is not known. None: it was said
    /// to Milo.
    #[schema(example = "called")]
    pub heard_from: Option<String>,
    /// What the other was told it in, `mg` or `fr`.
    #[schema(example = "fr")]
    pub said_in: Option<String>,
    /// Whether the caller interrupted, or a person took the call over.
    pub interrupted: bool,
    /// 0 to 1.
    #[schema(minimum = 0, maximum = 1, example = 0.93)]
    pub confidence: Option<f64>,
    /// `mg` or `fr`.
    #[schema(example = "mg")]
    pub language: Option<String>,
    /// Where the model is that answered, `local` or `cloud`; none where none did.
    #[schema(example = "local")]
    pub mode: Option<String>,
    /// Milliseconds.
    #[sqlx(flatten)]
    pub stages: Stages,
    /// Where it is in the recording.
    #[sqlx(flatten)]
    pub recording_at_ms: Places,
}

impl Store {
    /// The turns of a call, in order.
    pub async fn turns(&self, call: Key) -> Result<Vec<TurnRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT number, at, heard, said, said_heard, said_by, heard_from, said_in, interrupted, confidence, language, mode,
                    vad_ms, end_of_turn_ms, stt_ms, llm_first_token_ms, tts_first_sample_ms, packet_out_ms, total_ms,
                    recording_heard_from_ms, recording_heard_to_ms, recording_said_from_ms
             FROM turns WHERE call = $1 ORDER BY number",
        )
        .bind(call)
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("reading turns", error))
    }
}

impl Batch {
    /// Writes a turn. Written twice, it stays as it is.
    pub(super) async fn insert_turn(&mut self, call: Key, number: i32, turn: &NewTurn) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO turns (call, number, at, heard, said, said_heard, interrupted, confidence, language, mode,
                vad_ms, end_of_turn_ms, stt_ms, llm_first_token_ms, tts_first_sample_ms, packet_out_ms, total_ms,
                recording_heard_from_ms, recording_heard_to_ms, recording_said_from_ms, said_by,
                heard_from, said_in)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                $22, $23) ON CONFLICT DO NOTHING",
        )
        .bind(call)
        .bind(number)
        .bind(turn.at)
        .bind(&turn.heard)
        .bind(&turn.said)
        .bind(&turn.said_heard)
        .bind(turn.interrupted)
        .bind(turn.confidence)
        .bind(&turn.language)
        .bind(&turn.mode)
        .bind(turn.stages.vad_ms)
        .bind(turn.stages.end_of_turn_ms)
        .bind(turn.stages.stt_ms)
        .bind(turn.stages.llm_first_token_ms)
        .bind(turn.stages.tts_first_sample_ms)
        .bind(turn.stages.packet_out_ms)
        .bind(turn.stages.total_ms)
        .bind(turn.recording_at_ms.heard_from)
        .bind(turn.recording_at_ms.heard_to)
        .bind(turn.recording_at_ms.said_from)
        .bind(&turn.said_by)
        .bind(&turn.heard_from)
        .bind(&turn.said_in)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
