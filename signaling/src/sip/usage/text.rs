//! Texts (MESSAGE, RFC 3428): they come outside of calls, at the pace that an account may send them, and within them, and go out
//! outside of them.

use std::{net::SocketAddr, time::Instant};

use tracing::debug;

use super::Stage;
use crate::{
    SignalingError,
    sip::{
        core::{CallKey, Core, Event},
        digest::{Authorizer, Credentials},
        flow::{LARGE, Path, Transport, Ways},
        headers::Name,
        introduction::Introduction,
        message::Message,
        method::Method,
        receive::Request,
        registrar::{Proven, Registrar},
        screen::Rejection,
        text::{UTF_8, text_of},
        transaction::{
            message::merge_key,
            table::{Told, TransactionId},
        },
        uri::Uri,
    },
};

/// A text that came outside of any call, and has no answer yet.
#[derive(Debug)]
pub struct TextIn {
    transaction: TransactionId,
    request: Box<Message>,
    /// Who sends it: the URI of From.
    pub from: Uri,
    /// Whom it is for: the Request-URI.
    pub to: Uri,
    /// Where it came from.
    pub source: SocketAddr,
    /// The account that it has proved to be from, where it had to.
    pub account: Option<String>,
    /// The Call-ID of its MESSAGE.
    pub call_id: String,
    /// What it says.
    pub text: String,
    /// The account, with a telephone registered, that it is for.
    pub for_account: Option<String>,
}

/// A MESSAGE of ours without a final response.
#[derive(Debug)]
pub(in crate::sip) struct Sending {
    /// Complete but for its Via.
    request: Message,
    /// What is left to be tried when this way leads nowhere.
    ways: Ways,
    path: Option<Path>,
    authorizer: Option<Authorizer>,
}

impl Core {
    /// A MESSAGE came outside of any call. One for an account none of whose telephones is here is refused: nobody would get it.
    pub(in crate::sip) fn texted(&mut self, now: Instant, request: Request) {
        if self.is_merged(&request) {
            return self.answer_stateless(&request, &Rejection::new(482));
        }
        if let (Some(Proven::Account(account)), Some(registrar)) = (&request.proven, &mut self.registrar)
            && let Err(wait) = registrar.paces.take(now, account)
        {
            let mut rejection = Rejection::new(480);
            "Too Many Texts".clone_into(&mut rejection.reason);
            rejection.headers.push((Name::RETRY_AFTER, wait.as_secs().max(1).to_string()));
            return self.answer_stateless(&request, &rejection);
        }
        let text = match text_of(&request.message) {
            Ok(text) => text,
            Err(rejection) => return self.answer_stateless(&request, &rejection),
        };
        // Screened: they can be read.
        let (Ok(from), Some(to), Ok(call_id)) =
            (request.message.from(), request.message.uri().cloned(), request.message.call_id().map(str::to_owned))
        else {
            return;
        };
        let called = to.user();
        let for_account = match self.registrar.as_ref().and_then(|registrar: &Registrar| registrar.reaches(&called)) {
            None => None,
            Some(true) => Some(called),
            Some(false) => return self.answer_stateless(&request, &Rejection::new(480)),
        };
        let Request { message, flow, path, key, proven, .. } = request;
        let account = match proven {
            Some(Proven::Account(account)) => Some(account),
            Some(Proven::Trunk(_)) | None => None,
        };
        let transaction = self.transactions.open_merging_server(key, merge_key(&message), path);
        self.event(Event::Text(Box::new(TextIn {
            transaction,
            request: Box::new(message),
            from: from.uri,
            to,
            source: flow.remote,
            account,
            call_id,
            text,
            for_account,
        })));
    }

    /// Answers a text: with what it deserves once somebody has taken it (200, or 202 where it goes on to telephones), or with
    /// this refusal.
    pub fn answer_text(&mut self, now: Instant, text: &TextIn, refused: Option<u16>) {
        let mut rejection = Rejection::new(refused.unwrap_or(if text.for_account.is_some() { 202 } else { 200 }));
        if rejection.code == 503 {
            rejection.headers.push((Name::RETRY_AFTER, self.pick(2..=10).to_string()));
        }
        let mut response = self.reject(&text.request, &rejection);
        response.set_to_tag(&self.stateless_tag(&text.request));
        self.transactions.respond(now, text.transaction, &response, &mut self.packets);
    }

    /// A MESSAGE came within the dialog of this call, in order. One that comes again is answered by its transaction.
    pub(super) fn texted_within(&mut self, now: Instant, key: CallKey, request: &Request) {
        let over = self.calls.get(&key).is_none_or(|call| matches!(call.stage, Stage::Hanging | Stage::Closing));
        match text_of(&request.message) {
            _ if over => self.answer_within(now, key, request, &Rejection::new(481)),
            Err(rejection) => self.answer_within(now, key, request, &rejection),
            Ok(text) => {
                self.answer_within(now, key, request, &Rejection::new(200));
                self.event(Event::TextWithin(key, text));
            }
        }
    }

    /// Sends a text along the first of `ways` that leads somewhere; its final response is told as [`Event::TextAnswered`]. `from`
    /// is a SIP URI, or the user part of one at our own address.
    ///
    /// # Errors
    /// [`SignalingError::Target`].
    pub fn send_text(
        &mut self,
        now: Instant,
        (target, from): (&Uri, impl Into<Introduction>),
        text: &str,
        ways: impl Into<Ways>,
        credentials: Option<Credentials>,
    ) -> Result<CallKey, SignalingError> {
        let mut ways = ways.into();
        self.deaf.put_last(now, &mut ways);
        // No Contact: a MESSAGE makes no dialog (section 4).
        let mut request = self.first_request(Method::Message, target, &from.into(), &ways)?;
        request.set_body(UTF_8, text.as_bytes().to_vec());
        let key = self.new_call_key();
        let authorizer = credentials.map(Authorizer::new);
        self.texts.insert(key, Sending { request, ways, path: None, authorizer });
        if !self.text_sets_out(now, key) {
            self.text_settled(key, 513);
        }
        Ok(key)
    }

    /// Sends it along the next way that takes it; false: there is none left. No datagram may be large (section 8).
    fn text_sets_out(&mut self, now: Instant, key: CallKey) -> bool {
        loop {
            let Some(Sending { request, ways, .. }) = self.texts.get_mut(&key) else { return false };
            let Some(first) = ways.first() else { return false };
            let request = request.clone();
            let mut measured = request.clone();
            self.put_via(&mut measured, &first);
            let bytes = measured.to_bytes().len();
            let Some(sending) = self.texts.get_mut(&key) else { return false };
            let Some(path) = sending.ways.next(bytes) else { return false };
            if path.flow.transport == Transport::Udp && bytes > LARGE {
                continue;
            }
            sending.path = Some(path);
            self.send_this_text(now, key, request, path);
            return true;
        }
    }

    fn send_this_text(&mut self, now: Instant, key: CallKey, mut request: Message, path: Path) {
        let branch = self.put_via(&mut request, &path);
        self.transactions.send(now, request, &branch, path, Some(key), &mut self.packets);
    }

    /// What a transaction says to its text.
    pub(in crate::sip) fn text_told(&mut self, now: Instant, key: CallKey, told: &Told) {
        let code = match told {
            Told::Response(response) => response.status().unwrap_or(500),
            Told::TimedOut => 408,
            Told::Unreachable(_) => 503,
            // Said of an INVITE only.
            Told::Unacknowledged => return,
        };
        if code < 200 {
            return;
        }
        if let (401 | 407, Told::Response(response)) = (code, told)
            && self.text_again(now, key, response)
        {
            return;
        }
        // Another way is tried where nobody was reached by this one (RFC 3263 section 4.3).
        let nowhere = matches!(told, Told::TimedOut | Told::Unreachable(_)) || code == 503;
        if !(nowhere && self.text_sets_out(now, key)) {
            self.text_settled(key, code);
        }
    }

    /// Sends it again with the credentials that this response asks for; false: there are none, or they were refused.
    fn text_again(&mut self, now: Instant, key: CallKey, response: &Message) -> bool {
        let cnonce = self.word();
        let Some(Sending { request, path: Some(path), authorizer: Some(authorizer), .. }) = self.texts.get_mut(&key)
        else {
            return false;
        };
        if let Err(why) = authorizer.challenged(response, &cnonce) {
            debug!(%why, "a challenge is not answered");
            return false;
        }
        let number = request.cseq().map_or(1, |(number, _)| number) + 1;
        request.headers.set(Name::CSEQ, format!("{number} {}", Method::Message));
        authorizer.authorize(request);
        let (request, path) = (request.clone(), *path);
        self.send_this_text(now, key, request, path);
        true
    }

    fn text_settled(&mut self, key: CallKey, code: u16) {
        self.texts.remove(&key);
        self.event(Event::TextAnswered(key, code));
    }
}
