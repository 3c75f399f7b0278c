//! What callers and writers are answered: turns and their stages, replies, tokens, batches, what was made of calls that are over, and
//! what local engines did in a server's place.

use milo_models::language_model::Usage;
use prometheus::{Counter, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::{BUCKETS, Metrics, add};
use crate::{
    batch,
    engines::{CHANGEABLE, Mode, REASONS},
    store::Stages,
};

/// The figures of replies.
#[derive(Debug)]
pub(super) struct Replies {
    turns: IntCounterVec,
    late: IntCounter,
    stages: HistogramVec,
    replies: IntCounterVec,
    drafts: IntCounterVec,
    quicker: IntCounterVec,
    tokens: IntCounterVec,
    cost: Counter,
    batch_items: IntCounterVec,
    analyses: IntCounterVec,
    fallbacks: IntCounterVec,
    swaps: IntCounterVec,
}

impl Replies {
    pub(super) fn new(r: &Registry) -> Self {
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(r, IntCounterVec::new(Opts::new(name, help), labels));
        let stages = HistogramOpts::new("milo_stage_seconds", "How long each stage of a turn took.");
        let all = Self {
            turns: counters(
                "milo_turns_total",
                "Turns, by language and whether the caller interrupted.",
                &["language", "interrupted"],
            ),
            late: add(
                r,
                IntCounter::new(
                    "milo_late_turns_total",
                    "Turns whose answer took longer than [conversation] filler_ms.",
                ),
            ),
            stages: add(r, HistogramVec::new(stages.buckets(BUCKETS.into()), &["stage"])),
            replies: counters(
                "milo_llm_replies_total",
                "Replies that a language model began, by where it is: local, or cloud.",
                &["mode"],
            ),
            drafts: counters(
                "milo_llm_drafts_total",
                "Replies that were begun before the caller's turn was over, by whether they were kept or dropped.",
                &["outcome"],
            ),
            quicker: counters(
                "milo_turns_quicker_total",
                "What was done about turns that were late or at risk to be: something said meanwhile (filler), a few words said before it (opener), the local model asked in place of the server (local), a short reply asked for (shorter).",
                &["way"],
            ),
            tokens: counters(
                "milo_tokens_total",
                "Tokens of language models, of conversations that they read (prompt) and replies (completion), as far as they are counted.",
                &["direction", "mode"],
            ),
            cost: add(
                r,
                Counter::with_opts(Opts::new(
                    "milo_llm_cost_total",
                    "What the language model's server has cost, in the currency of the configured prices.",
                )),
            ),
            batch_items: counters(
                "milo_batch_items_total",
                "Items of batches that ended, by kind and whether they were done or failed.",
                &["kind", "result"],
            ),
            analyses: counters(
                "milo_analyses_total",
                "Calls that the model was to write down after their end: done, failed, or refused since too many waited.",
                &["result"],
            ),
            fallbacks: counters(
                "milo_engine_fallbacks_total",
                "What the server that was asked (llm, stt, tts) did not do, and mostly the local engine did, by what was wrong with it.",
                &["engine", "reason"],
            ),
            swaps: counters(
                "milo_engine_swaps_total",
                "Models that were to take the place of one in memory, by the engine and whether that was done or refused.",
                &["engine", "result"],
            ),
        };
        all.show();
        all
    }

    /// Shows as 0 what has not moved yet.
    fn show(&self) {
        for language in ["mg", "fr"] {
            for interrupted in ["true", "false"] {
                self.turns.with_label_values(&[language, interrupted]);
            }
        }
        for (stage, _) in Stages::default().named() {
            self.stages.with_label_values(&[stage]);
        }
        for outcome in ["kept", "dropped"] {
            self.drafts.with_label_values(&[outcome]);
        }
        for way in ["filler", "local", "opener", "shorter"] {
            self.quicker.with_label_values(&[way]);
        }
        for mode in [Mode::Local, Mode::Cloud] {
            self.replies.with_label_values(&[mode.as_str()]);
            for direction in ["prompt", "completion"] {
                self.tokens.with_label_values(&[direction, mode.as_str()]);
            }
        }
        for kind in batch::Kind::ALL {
            for result in ["done", "failed"] {
                self.batch_items.with_label_values(&[kind.as_str(), result]);
            }
        }
        for result in ["done", "failed", "refused"] {
            self.analyses.with_label_values(&[result]);
        }
        for engine in CHANGEABLE {
            for result in ["done", "refused"] {
                self.swaps.with_label_values(&[engine, result]);
            }
        }
        for engine in ["llm", "stt", "tts", "turn"] {
            for reason in REASONS {
                self.fallbacks.with_label_values(&[engine, reason]);
            }
        }
    }
}

impl Metrics {
    /// A turn is over.
    pub fn turn(&self, language: &str, interrupted: bool) {
        self.replies.turns.with_label_values(&[language, if interrupted { "true" } else { "false" }]).inc();
    }

    /// The answer to a turn was beyond its budget.
    pub fn turn_was_late(&self) {
        self.replies.late.inc();
    }

    /// Turns since the start, and late ones of them.
    pub fn turns_so_far(&self) -> (u64, u64) {
        let both =
            ["mg", "fr"].into_iter().flat_map(|language| ["true", "false"].map(|interrupted| [language, interrupted]));
        (both.map(|labels| self.replies.turns.with_label_values(&labels).get()).sum(), self.replies.late.get())
    }

    /// A stage of a turn took so many seconds. The names are those of [`Stages::named`](crate::store::Stages::named).
    pub fn stage(&self, stage: &str, seconds: f64) {
        self.replies.stages.with_label_values(&[stage]).observe(seconds);
    }

    /// Another model was to take the place of an engine's: done, or refused.
    pub fn swapped(&self, engine: &str, result: &str) {
        self.replies.swaps.with_label_values(&[engine, result]).inc();
    }

    /// A language model began a reply.
    pub fn reply(&self, mode: Mode) {
        self.replies.replies.with_label_values(&[mode.as_str()]).inc();
    }

    /// A reply that was begun early was kept, or dropped.
    pub fn drafted(&self, kept: bool) {
        self.replies.drafts.with_label_values(&[if kept { "kept" } else { "dropped" }]).inc();
    }

    /// A turn that is late, or would be, is answered in a quicker way: `filler`, `local` or `shorter`.
    pub fn quicker(&self, way: &str) {
        self.replies.quicker.with_label_values(&[way]).inc();
    }

    /// A reply took so many tokens.
    pub fn tokens(&self, mode: Mode, usage: Usage) {
        for (direction, tokens) in [("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)] {
            self.replies.tokens.with_label_values(&[direction, mode.as_str()]).inc_by(tokens);
        }
    }

    /// A reply of the server cost so much.
    pub fn cost(&self, cost: f64) {
        self.replies.cost.inc_by(cost.max(0.0));
    }

    /// An item of a batch is `done`, or `failed`.
    pub fn batch_item(&self, kind: &str, result: &str) {
        self.replies.batch_items.with_label_values(&[kind, result]).inc();
    }

    /// The analysis of a call is `done`, `failed`, or was `refused`.
    pub fn analysis(&self, result: &str) {
        self.replies.analyses.with_label_values(&[result]).inc();
    }

    /// A server did not answer for this reason, one of [`REASONS`]: the local engine did.
    pub fn fell_back(&self, engine: &str, reason: &str) {
        self.replies.fallbacks.with_label_values(&[engine, reason]).inc();
    }
}
