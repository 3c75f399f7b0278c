//! Answers that nothing is kept of (RFC 3261 section 8.2.7): to OPTIONS, to what cannot be served, and to strangers.

use tracing::debug;

use super::{
    body::SDP_TYPE,
    core::Core,
    flow::{Flow, Packet, Path, response_path, stamp},
    headers::Name,
    keys::{KEY_TYPE, RELAY_TYPE},
    message::Message,
    method::Method,
    receive::Request,
    screen::{Refusal, Rejection, supported},
    text::TEXT_TYPE,
};

impl Core {
    /// What we can (RFC 3261 section 11.2): the answer to OPTIONS, whether within a dialog or not.
    pub(super) fn capabilities(&self, request: &Message) -> Message {
        let full = self.calls.len() >= self.config.admitted();
        let mut response = self.response(request, if full { 486 } else { 200 }, "");
        response.headers.push(Name::ALLOW, self.allow());
        response.headers.push(Name::ACCEPT, format!("{SDP_TYPE}, {RELAY_TYPE}, {KEY_TYPE}, {TEXT_TYPE}"));
        response.headers.push(Name::ACCEPT_ENCODING, "identity");
        response.headers.push(Name::ACCEPT_LANGUAGE, "mg, fr, en");
        response.headers.push(Name::SUPPORTED, supported());
        response
    }

    pub(super) fn answer_options(&mut self, request: &Request) {
        let mut response = self.capabilities(&request.message);
        response.headers.push(Name::CONTACT, self.contact(&request.flow));
        self.send_stateless(response, &request.message, request.path);
    }

    /// Answers without keeping any state (RFC 3261 section 8.2.7).
    pub(super) fn answer_stateless(&mut self, request: &Request, rejection: &Rejection) {
        let response = self.reject(&request.message, rejection);
        self.send_stateless(response, &request.message, request.path);
    }

    /// 503 with Retry-After: as much as can be served is being served.
    pub(super) fn turn_away(&mut self, request: &Message, flow: &Flow) {
        self.counters.overloaded += 1;
        let mut rejection = Rejection::new(503);
        let wait = self.pick(2..=10);
        rejection.headers.push((Name::RETRY_AFTER, wait.to_string()));
        let response = self.reject(request, &rejection);
        if let Ok(via) = request.top_via() {
            self.send_stateless(response, request, response_path(&via, flow));
        }
    }

    /// The response of a rejection, with our Server field.
    pub(super) fn reject(&self, request: &Message, rejection: &Rejection) -> Message {
        let mut response = self.response(request, rejection.code, &rejection.reason);
        for (name, value) in &rejection.headers {
            response.headers.push(name, value.as_str());
        }
        response
    }

    fn send_stateless(&mut self, mut response: Message, request: &Message, path: Path) {
        response.set_to_tag(&self.stateless_tag(request));
        self.packets.push_back(Packet { path, bytes: response.to_bytes().into(), transaction: None });
    }

    pub(super) fn refuse(&mut self, refusal: Refusal, mut request: Message, flow: &Flow) {
        match refusal {
            Refusal::Silence(why) => {
                self.counters.parse_errors += 1;
                debug!(peer = %flow.remote, why, "dropped");
            }
            Refusal::Answer(rejection) => {
                // Without a Via that can be read (a SIP version of the future) the source is the only way back.
                let path = match request.top_via() {
                    Ok(mut via) => {
                        stamp(&mut request, &mut via, flow);
                        response_path(&via, flow)
                    }
                    Err(_) => Path { flow: *flow, or_connect: None },
                };
                let response = self.reject(&request, &rejection);
                self.send_stateless(response, &request, path);
            }
        }
    }

    /// 403 to a stranger, to the very address it came from.
    pub(super) fn forbid(&mut self, mut request: Message, flow: &Flow) {
        if request.method() != Some(&Method::Ack)
            && let Ok(mut via) = request.top_via()
        {
            stamp(&mut request, &mut via, flow);
            // Nothing about us: no Server field.
            let response = Message::response_to(&request, 403, "");
            self.send_stateless(response, &request, Path { flow: *flow, or_connect: None });
        }
    }
}
