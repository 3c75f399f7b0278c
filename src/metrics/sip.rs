//! What the SIP endpoint counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::{add, raise, whole};
use crate::http::SipCounters;

/// The figures of SIP.
#[derive(Debug)]
pub(super) struct Sip {
    messages: IntCounterVec,
    parse_errors: IntCounter,
    refused: IntCounter,
    overloaded: IntCounter,
    retransmissions: IntCounter,
    send_failures: IntCounter,
    wrong_answers: IntCounter,
    unjudged: IntCounter,
    banned: IntCounter,
    registrations: IntGauge,
    transactions: IntGauge,
    connections: IntGauge,
}

impl Sip {
    pub(super) fn new(r: &Registry) -> Self {
        let counter = |name: &str, help: &str| add(r, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| add(r, IntGauge::new(name, help));
        Self {
            messages: add(r, IntCounterVec::new(Opts::new("milo_sip_messages_total", "SIP messages."), &["direction"])),
            parse_errors: counter("milo_sip_parse_errors_total", "SIP messages that could not be read."),
            refused: counter("milo_sip_refused_total", "Requests of strangers, refused or met with silence."),
            overloaded: counter(
                "milo_sip_overloaded_total",
                "Calls turned away with 503 because all places were taken.",
            ),
            retransmissions: counter("milo_sip_retransmissions_total", "SIP messages sent again."),
            send_failures: counter("milo_sip_send_failures_total", "SIP messages that could not be sent."),
            wrong_answers: counter(
                "milo_sip_wrong_answers_total",
                "Answers of telephones to a challenge that were wrong.",
            ),
            unjudged: counter(
                "milo_sip_unjudged_answers_total",
                "Answers to challenges that were not judged, since too many wrong ones came before.",
            ),
            banned: counter(
                "milo_sip_banned_total",
                "Datagrams, requests and connections of banned addresses, dropped.",
            ),
            registrations: gauge("milo_sip_registrations", "Telephones that are registered with Milo now."),
            transactions: gauge("milo_sip_transactions", "SIP transactions that are live now."),
            connections: gauge("milo_sip_connections", "SIP connections that are open now."),
        }
    }

    /// Takes over what the endpoint counts itself.
    pub(super) fn read(&self, sip: &SipCounters) {
        raise(&self.messages.with_label_values(&["in"]), sip.messages_in);
        raise(&self.messages.with_label_values(&["out"]), sip.messages_out);
        raise(&self.parse_errors, sip.parse_errors);
        raise(&self.refused, sip.refused);
        raise(&self.overloaded, sip.overloaded);
        raise(&self.retransmissions, sip.retransmissions);
        raise(&self.send_failures, sip.send_failures);
        raise(&self.wrong_answers, sip.wrong_answers);
        raise(&self.unjudged, sip.unjudged);
        raise(&self.banned, sip.banned);
        self.registrations.set(whole(sip.registrations));
        self.transactions.set(whole(sip.transactions));
        self.connections.set(whole(sip.connections));
    }
}
