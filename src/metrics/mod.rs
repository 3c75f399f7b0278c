//! What Milo counts, in the words of Prometheus: one typed field a figure, moved where the thing happens.
//!
//! Figures that live elsewhere (queues, SIP counters, the process) are read when somebody asks, in [`Metrics::text`].

mod campaigns;
mod engines;
mod legs;
mod lines;
mod process;
mod redis;
mod replies;
mod sip;
mod trunks;
mod web;
mod webhooks;

use std::{sync::Mutex, time::Duration};

use campaigns::Campaigns;
use legs::Legs;
use lines::Lines;
use milo_media::{Quality, record::Outcome};
use milo_models::queue::Class;
use process::Process;
use prometheus::{
    Counter, Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use replies::Replies;
use sip::Sip;
use trunks::Trunks;
use web::Web;
use webhooks::Webhooks;

use crate::{
    http::HealthReport,
    redis::Kind,
    store::{HangupBy, LogState},
    texts,
};

/// Seconds, from what one packet takes to what no caller waits for.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.2, 2.0, 3.0, 6.0];

/// The figures of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls_started: IntCounter,
    calls: IntCounterVec,
    calls_live: IntGauge,
    messages: IntCounterVec,
    replies: Replies,
    campaigns: Campaigns,
    transfers: IntCounterVec,
    packets_received: IntCounter,
    packets_lost: IntCounter,
    frames_concealed: IntCounter,
    recordings: IntCounterVec,
    recordings_live: IntGauge,
    recording_gaps: Counter,
    rtcp_ignored: IntCounter,
    legs: Legs,
    rtp_ports: IntGauge,
    web: Web,
    queues: IntGaugeVec,
    models_loaded: IntGauge,
    vram_used: IntGauge,
    vram_total: IntGauge,
    gpu_use: IntGauge,
    call_room: IntGauge,
    sip: Sip,
    trunks: Trunks,
    lines: Lines,
    webhooks: Webhooks,
    redis: redis::Redis,
    log_waiting: IntGauge,
    log_writable: IntGauge,
    log_lost: IntCounterVec,
    journal_rows: IntGauge,
    journal_bytes: IntGauge,
    replayed: IntCounter,
    process: Process,
    /// A scrape brings several figures up to date: two at once would count the same step twice. No call waits here.
    scrape: Mutex<()>,
}

/// Registers under a name that is a literal here, so that a clash shows in the first test that makes a [`Metrics`].
fn add<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("names of metrics are valid literals");
    registry.register(Box::new(collector.clone())).expect("each name is registered once");
    collector
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All figures at zero.
    pub fn new() -> Self {
        let r = Registry::new();
        let counter = |name: &str, help: &str| add(&r, IntCounter::new(name, help));
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(&r, IntCounterVec::new(Opts::new(name, help), labels));
        let gauge = |name: &str, help: &str| add(&r, IntGauge::new(name, help));
        let about =
            Opts::new("milo_info", "The running version; always 1.").const_label("version", env!("CARGO_PKG_VERSION"));
        add(&r, IntGauge::with_opts(about)).set(1);
        let metrics = Self {
            calls_started: counter("milo_calls_started_total", "Calls that began."),
            calls: counters("milo_calls_total", "Calls that ended, by who hung up.", &["hangup_by"]),
            calls_live: gauge("milo_calls_live", "Calls that are up now."),
            messages: counters(
                "milo_messages_total",
                "Texts (SIP MESSAGE), by direction and what became of them.",
                &["direction", "result"],
            ),
            replies: Replies::new(&r),
            campaigns: Campaigns::new(&r),
            transfers: counters(
                "milo_transfers_total",
                "Transfers that parties of calls have asked for (REFER), by kind and what came of them.",
                &["kind", "result"],
            ),
            packets_received: counter("milo_rtp_packets_received_total", "RTP packets received."),
            packets_lost: counter("milo_rtp_packets_lost_total", "RTP packets that did not come in time."),
            frames_concealed: counter(
                "milo_rtp_frames_concealed_total",
                "Frames of 20 ms that were invented for want of a packet.",
            ),
            recordings: counters(
                "milo_recordings_total",
                "Recordings that ended: complete, or failed before their call was over.",
                &["state"],
            ),
            recordings_live: gauge("milo_recordings_live", "Recordings that are being written now."),
            recording_gaps: add(
                &r,
                Counter::new(
                    "milo_recording_gap_seconds_total",
                    "Silence in recordings in place of what the disk was too slow for.",
                ),
            ),
            rtcp_ignored: counter(
                "milo_rtcp_ignored_total",
                "RTCP that was malformed, of an unknown source, or from elsewhere.",
            ),
            legs: Legs::new(&r),
            rtp_ports: gauge("milo_rtp_ports_leased", "Ports of the configured range that calls hold now."),
            web: Web::new(&r),
            queues: add(
                &r,
                IntGaugeVec::new(
                    Opts::new(
                        "milo_engine_queue_length",
                        "Jobs that wait for an engine, or for a place at its server (…_cloud), by class.",
                    ),
                    &["engine", "class"],
                ),
            ),
            models_loaded: gauge("milo_models_loaded", "Models in memory."),
            vram_used: gauge(
                "milo_gpu_vram_used_bytes",
                "Memory of the graphics cards that is in use, by whomever; without a card 0.",
            ),
            vram_total: gauge("milo_gpu_vram_total_bytes", "Memory of the graphics cards; without a card 0."),
            gpu_use: gauge(
                "milo_gpu_use_percent",
                "How busy the busiest graphics card is; without a card that tells 0.",
            ),
            call_room: gauge(
                "milo_calls_room",
                "How many calls the engines have room for, by what those that were up cost them; taken are no more with [limits] follow_engines.",
            ),
            sip: Sip::new(&r),
            trunks: Trunks::new(&r),
            lines: Lines::new(&r),
            webhooks: Webhooks::new(&r),
            redis: redis::Redis::new(&r),
            log_waiting: gauge("milo_log_rows_waiting", "Rows of the call log that are not written yet."),
            log_writable: gauge("milo_log_writable", "1 while the call log's database takes rows, else 0."),
            log_lost: counters(
                "milo_log_rows_lost_total",
                "Rows that the call log had no room for, or the database refused.",
                &["kind"],
            ),
            journal_rows: gauge("milo_log_journal_rows", "Rows of the call log that wait in the journal on disk."),
            journal_bytes: gauge("milo_log_journal_bytes", "Length of the journal on disk."),
            replayed: counter("milo_log_replayed_total", "Rows that came into the database from the journal."),
            process: Process::new(&r),
            scrape: Mutex::new(()),
            registry: r.clone(),
        };
        // A figure that has not moved yet is shown as 0: graphs and alerts need it from the start.
        for by in [HangupBy::Caller, HangupBy::Milo, HangupBy::Network] {
            metrics.calls.with_label_values(&[by.as_str()]);
        }
        for (direction, result) in [("in", texts::RECEIVED), ("out", texts::DELIVERED)] {
            metrics.messages.with_label_values(&[direction, result]);
        }
        for kind in ["blind", "attended"] {
            for result in ["answered", "joined", "failed", "refused"] {
                if (kind, result) != ("blind", "joined") {
                    metrics.transfers.with_label_values(&[kind, result]);
                }
            }
        }
        for state in ["complete", "failed"] {
            metrics.recordings.with_label_values(&[state]);
        }
        metrics
    }

    /// A recording began.
    pub fn recording_began(&self) {
        self.recordings_live.inc();
    }

    /// A recording ended.
    pub fn recording_ended(&self, outcome: &Outcome) {
        self.recordings_live.dec();
        let state = if outcome.fault.is_none() { "complete" } else { "failed" };
        self.recordings.with_label_values(&[state]).inc();
        self.recording_gaps.inc_by(Duration::from_millis(outcome.gap_ms).as_secs_f64());
    }

    /// A call began.
    pub fn call_began(&self) {
        self.calls_started.inc();
        self.calls_live.inc();
    }

    /// A call ended.
    pub fn call_ended(&self, by: HangupBy) {
        self.calls.with_label_values(&[by.as_str()]).inc();
        self.calls_live.dec();
    }

    /// A text came (`in`) or was sent (`out`), and this became of it.
    pub fn message(&self, direction: &str, result: &str) {
        self.messages.with_label_values(&[direction, result]).inc();
    }

    /// A party of a call has asked for a transfer, `blind` or `attended`, and this became of it: `answered`, `joined` with another
    /// call of theirs, `failed`, `refused`.
    pub fn transfer(&self, kind: &str, result: &str) {
        self.transfers.with_label_values(&[kind, result]).inc();
    }

    /// Packets of a leg, since the last time.
    pub fn packets(&self, received: u64, lost: u64, concealed: u64) {
        self.packets_received.inc_by(received);
        self.packets_lost.inc_by(lost);
        self.frames_concealed.inc_by(concealed);
    }

    /// A leg ended that was like this, and to which so much strange RTCP came.
    pub fn leg(&self, quality: &Quality, rtcp_ignored: u64) {
        self.rtcp_ignored.inc_by(rtcp_ignored);
        self.legs.ended(quality);
    }

    /// Whether the configured Redis answers.
    pub fn redis_up(&self, up: bool) {
        self.redis.up.with_label_values::<&str>(&[]).set(i64::from(up));
    }

    /// Redis was asked this, and took so long.
    pub fn redis_asked(&self, kind: Kind, took: Duration) {
        self.redis.operations.with_label_values(&[kind.as_str()]).inc();
        self.redis.seconds.with_label_values(&[kind.as_str()]).observe(took.as_secs_f64());
    }

    /// Redis did not do it: `late`, `refused`, `full`.
    pub fn redis_failed(&self, kind: Kind, reason: &str) {
        self.redis.failures.with_label_values(&[kind.as_str(), reason]).inc();
    }

    /// Something was looked for in a cache, `speech` or `translation`, and found `here`, in `redis`, or `nowhere`.
    pub fn looked_up(&self, cache: &str, found: &str) {
        self.redis.look_ups.with_label_values(&[cache, found]).inc();
    }

    /// All figures in Prometheus' text format, with the ones that live elsewhere as they are now.
    pub fn text(&self, health: &HealthReport, log: &LogState) -> String {
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (engine, waiting) in &health.queues {
            for (class, waiting) in Class::ALL.iter().zip(waiting) {
                self.queues.with_label_values(&[engine, class.name()]).set(whole(*waiting));
            }
        }
        self.rtp_ports.set(whole(health.rtp_ports));
        self.models_loaded.set(whole(health.models.len()));
        self.web.read(health.sessions);
        let vram = health.vram.unwrap_or_default();
        self.vram_used.set(i64::try_from(vram.used).unwrap_or(i64::MAX));
        self.vram_total.set(i64::try_from(vram.total).unwrap_or(i64::MAX));
        self.gpu_use.set(vram.use_percent.unwrap_or(0).into());
        self.call_room.set(whole(health.call_room));
        self.sip.read(&health.sip);
        self.trunks.read(&health.trunks);
        self.lines.read(&health.lines);
        self.webhooks.read(&health.webhooks);
        self.log_waiting.set(whole(log.waiting));
        self.log_writable.set(i64::from(log.fault.is_none()));
        for (kind, lost) in [("event", log.lost_events), ("turn", log.lost_turns), ("call", log.lost_calls)] {
            raise(&self.log_lost.with_label_values(&[kind]), lost);
        }
        self.journal_rows.set(i64::try_from(log.journal_entries).unwrap_or(i64::MAX));
        self.journal_bytes.set(i64::try_from(log.journal_bytes).unwrap_or(i64::MAX));
        raise(&self.replayed, log.replayed);
        self.process.read(health.tasks);
        let mut text = Vec::new();
        let mut families = self.registry.gather();
        families.extend(engines::families(&health.work));
        families.extend(engines::again(&health.again));
        TextEncoder::new().encode(&families, &mut text).expect("writing into memory does not fail");
        String::from_utf8(text).expect("names, labels and numbers are UTF-8")
    }
}

/// Brings a counter up to a total that is kept elsewhere.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn whole(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use milo_media::OneWay;
    use milo_models::language_model::Usage;

    use super::*;
    use crate::{call::LineReport, engines::Mode, http::SipCounters, trunk::TrunkReport};

    fn value(text: &str, line: &str) -> f64 {
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {line} in\n{text}")).parse().unwrap()
    }

    #[test]
    fn every_figure_moves() {
        let metrics = Metrics::new();
        let log = LogState {
            fault: Some("away".into()),
            waiting: 7,
            journal_entries: 5,
            journal_bytes: 900,
            replayed: 6,
            lost_events: 1,
            lost_turns: 2,
            lost_calls: 3,
        };
        let sip = SipCounters {
            messages_in: 10,
            messages_out: 9,
            parse_errors: 8,
            refused: 7,
            overloaded: 6,
            retransmissions: 5,
            send_failures: 4,
            wrong_answers: 11,
            unjudged: 14,
            banned: 13,
            registrations: 12,
            transactions: 3,
            connections: 2,
        };
        let mut health =
            HealthReport { queues: vec![("stt", [4, 7, 5, 6])], rtp_ports: 6, sip, ..HealthReport::default() };
        health.trunks.push(TrunkReport {
            settings: crate::config::Trunk { name: "carrier".into(), register: true, ..Default::default() },
            state: "registered",
            reachable: Some(true),
            calls_live: 3,
            calls_in: 4,
            calls_out: 5,
            refused_in: 6,
            refused_out: 7,
            ..TrunkReport::default()
        });
        health.lines.push(LineReport {
            name: "support".into(),
            calls: [("answered", 8), ("abandoned", 0)].into(),
            ..LineReport::default()
        });
        health.webhooks.push(crate::notices::TargetReport {
            name: "crm".into(),
            waiting: 3,
            dead: 2,
            delivered: 9,
            failed: 8,
            buried: 4,
            missed: 1,
            ..Default::default()
        });
        health.models.push(crate::engines::Model {
            name: "whisper".into(),
            job: "stt",
            form: None,
            demonstration: true,
            size_bytes: None,
            licence: None,
            since: None,
        });
        health.sessions = 3;
        health.tasks = 12;
        health.vram = Some(crate::gpu::Vram {
            own: 4_000_000_000,
            used: 5_000_000_000,
            total: 8_000_000_000,
            use_percent: Some(70),
        });
        metrics.call_began();
        metrics.call_began();
        metrics.call_ended(HangupBy::Milo);
        metrics.turn("mg", true);
        metrics.turn_was_late();
        assert_eq!(metrics.turns_so_far(), (1, 1));
        metrics.stage("total", 0.7);
        metrics.packets(100, 2, 3);
        let quality = milo_media::LegStats { received: 95, lost: 5, ..Default::default() }.quality();
        let heard = Quality {
            codec: Some("opus"),
            mos: Some(4.1),
            round_trip_ms: Some(120.0),
            clipping_percent: 0.5,
            level_dbfs: Some(-21.0),
            far_loss_percent: Some(2.0),
            far_jitter_ms: Some(30),
            far_mos: Some(3.8),
            ignored: 7,
            unauthentic: 6,
            replayed: 5,
            one_way: Some(OneWay::Unheard),
            ..quality
        };
        metrics.leg(&heard, 4);
        metrics.leg(&quality, 0);
        metrics.http_request("none", 404, 0.01);
        metrics.http_limited();
        metrics.http_request("/api/v1/chat", 200, 0.25);
        metrics.batch_item("tts", "failed");
        metrics.analysis("done");
        metrics.campaign_call(crate::campaign::Outcome::NoAnswer);
        metrics.campaign_calls_live(3);
        metrics.tokens(Mode::Cloud, Usage { prompt_tokens: 25, completion_tokens: 15, ..Usage::default() });
        metrics.recording_began();
        metrics.recording_began();
        metrics.recording_ended(&Outcome { ms: 9_000, gap_ms: 250, fault: Some("no room".into()) });
        assert!(!metrics.text(&health, &log).contains("milo_redis_up "), "without a Redis there is no such figure");
        metrics.redis_up(true);
        metrics.redis_asked(Kind::Session, Duration::from_millis(3));
        metrics.redis_failed(Kind::Limit, "late");
        metrics.looked_up("speech", "redis");
        // A second look counts nothing twice.
        let text = metrics.text(&health, &log);
        for (line, expected) in [
            ("milo_calls_started_total", 2.0),
            ("milo_calls_total{hangup_by=\"milo\"}", 1.0),
            ("milo_calls_total{hangup_by=\"network\"}", 0.0),
            ("milo_calls_live", 1.0),
            ("milo_turns_total{interrupted=\"true\",language=\"mg\"}", 1.0),
            ("milo_late_turns_total", 1.0),
            ("milo_stage_seconds_sum{stage=\"total\"}", 0.7),
            ("milo_stage_seconds_bucket{stage=\"total\",le=\"0.6\"}", 0.0),
            ("milo_stage_seconds_bucket{stage=\"total\",le=\"0.8\"}", 1.0),
            ("milo_rtp_packets_received_total", 100.0),
            ("milo_rtp_packets_lost_total", 2.0),
            ("milo_rtp_frames_concealed_total", 3.0),
            ("milo_recordings_live", 1.0),
            ("milo_recordings_total{state=\"failed\"}", 1.0),
            ("milo_recordings_total{state=\"complete\"}", 0.0),
            ("milo_recording_gap_seconds_total", 0.25),
            ("milo_rtcp_ignored_total", 4.0),
            ("milo_leg_mos_sum{codec=\"opus\"}", 4.1),
            ("milo_leg_loss_ratio_sum{codec=\"opus\"}", 0.05),
            ("milo_leg_concealed_ratio_count{codec=\"opus\"}", 1.0),
            ("milo_leg_jitter_seconds_count{codec=\"opus\"}", 1.0),
            ("milo_leg_level_dbfs_sum{codec=\"opus\"}", -21.0),
            ("milo_leg_level_dbfs_bucket{codec=\"opus\",le=\"-24\"}", 0.0),
            ("milo_leg_far_loss_ratio_sum", 0.02),
            ("milo_leg_far_jitter_seconds_sum", 0.03),
            ("milo_leg_far_mos_sum", 3.8),
            ("milo_rtp_refused_total{why=\"not the peer's\"}", 7.0),
            ("milo_rtp_refused_total{why=\"unauthentic\"}", 6.0),
            ("milo_rtp_refused_total{why=\"replayed\"}", 5.0),
            ("milo_leg_round_trip_seconds_sum", 0.12),
            ("milo_legs_clipped_total", 1.0),
            ("milo_legs_one_way_total{kind=\"unheard\"}", 1.0),
            ("milo_legs_one_way_total{kind=\"no packets\"}", 0.0),
            ("milo_http_requests_total{status=\"404\"}", 1.0),
            ("milo_engine_queue_length{class=\"call\",engine=\"stt\"}", 4.0),
            ("milo_engine_queue_length{class=\"batch\",engine=\"stt\"}", 6.0),
            ("milo_tokens_total{direction=\"prompt\",mode=\"cloud\"}", 25.0),
            ("milo_batch_items_total{kind=\"tts\",result=\"failed\"}", 1.0),
            ("milo_batch_items_total{kind=\"stt\",result=\"done\"}", 0.0),
            ("milo_analyses_total{result=\"done\"}", 1.0),
            ("milo_analyses_total{result=\"refused\"}", 0.0),
            ("milo_tokens_total{direction=\"completion\",mode=\"cloud\"}", 15.0),
            ("milo_tokens_total{direction=\"prompt\",mode=\"local\"}", 0.0),
            ("milo_models_loaded", 1.0),
            ("milo_gpu_vram_used_bytes", 5e9),
            ("milo_http_limited_total", 1.0),
            ("milo_text_sessions", 3.0),
            ("milo_tasks", 12.0),
            ("milo_gpu_vram_total_bytes", 8e9),
            ("milo_gpu_use_percent", 70.0),
            ("milo_http_request_seconds_sum{route=\"/api/v1/chat\"}", 0.25),
            ("milo_rtp_ports_leased", 6.0),
            ("milo_sip_messages_total{direction=\"in\"}", 10.0),
            ("milo_sip_messages_total{direction=\"out\"}", 9.0),
            ("milo_sip_parse_errors_total", 8.0),
            ("milo_sip_refused_total", 7.0),
            ("milo_sip_overloaded_total", 6.0),
            ("milo_sip_retransmissions_total", 5.0),
            ("milo_sip_send_failures_total", 4.0),
            ("milo_sip_wrong_answers_total", 11.0),
            ("milo_sip_unjudged_answers_total", 14.0),
            ("milo_sip_banned_total", 13.0),
            ("milo_sip_registrations", 12.0),
            ("milo_sip_transactions", 3.0),
            ("milo_sip_connections", 2.0),
            ("milo_trunk_registered{trunk=\"carrier\"}", 1.0),
            ("milo_trunk_reachable{trunk=\"carrier\"}", 1.0),
            ("milo_trunk_calls_live{trunk=\"carrier\"}", 3.0),
            ("milo_trunk_calls_total{direction=\"in\",trunk=\"carrier\"}", 4.0),
            ("milo_trunk_calls_total{direction=\"out\",trunk=\"carrier\"}", 5.0),
            ("milo_trunk_refused_total{direction=\"in\",trunk=\"carrier\"}", 6.0),
            ("milo_trunk_refused_total{direction=\"out\",trunk=\"carrier\"}", 7.0),
            ("milo_campaign_calls_total{outcome=\"no_answer\"}", 1.0),
            ("milo_campaign_calls_total{outcome=\"answered\"}", 0.0),
            ("milo_campaign_calls_live", 3.0),
            ("milo_queue_waiting{queue=\"support\"}", 0.0),
            ("milo_queue_calls_total{queue=\"support\",result=\"answered\"}", 8.0),
            ("milo_queue_calls_total{queue=\"support\",result=\"abandoned\"}", 0.0),
            ("milo_webhook_waiting{target=\"crm\"}", 3.0),
            ("milo_webhook_dead{target=\"crm\"}", 2.0),
            ("milo_webhook_tries_total{result=\"delivered\",target=\"crm\"}", 9.0),
            ("milo_webhook_tries_total{result=\"failed\",target=\"crm\"}", 8.0),
            ("milo_webhook_given_up_total{target=\"crm\"}", 4.0),
            ("milo_webhook_missed_total{target=\"crm\"}", 1.0),
            ("milo_redis_up", 1.0),
            ("milo_redis_operations_total{kind=\"session\"}", 1.0),
            ("milo_redis_operations_total{kind=\"limit\"}", 0.0),
            ("milo_redis_failures_total{kind=\"limit\",reason=\"late\"}", 1.0),
            ("milo_redis_seconds_sum{kind=\"session\"}", 0.003),
            ("milo_redis_seconds_bucket{kind=\"session\",le=\"0.002\"}", 0.0),
            ("milo_redis_seconds_bucket{kind=\"session\",le=\"0.005\"}", 1.0),
            ("milo_cache_look_ups_total{cache=\"speech\",found=\"redis\"}", 1.0),
            ("milo_log_rows_waiting", 7.0),
            ("milo_log_writable", 0.0),
            ("milo_log_journal_rows", 5.0),
            ("milo_log_journal_bytes", 900.0),
            ("milo_log_replayed_total", 6.0),
            ("milo_log_rows_lost_total{kind=\"call\"}", 3.0),
        ] {
            assert_eq!(value(&text, line), expected, "{line}");
        }
        assert!(value(&text, "process_resident_memory_bytes") > 1e6);
        assert!(value(&text, "process_cpu_seconds_total") >= 0.0);
        assert!(value(&text, "process_open_fds") > 2.0);
    }

    #[test]
    fn every_figure_has_a_help_that_is_a_sentence() {
        let text = Metrics::new().text(&HealthReport::default(), &LogState::default());
        for line in text.lines().filter(|line| line.starts_with("# HELP")) {
            assert!(line.contains("; always 1.") || line.ends_with('.') || line.ends_with("else 0."), "{line}");
        }
    }
}
