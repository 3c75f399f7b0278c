//! What transactions read from messages, their keys (RFC 3261 sections 17.1.3 and 17.2.3), and what they make of them:
//! the ACK of a rejection and the CANCEL.

use crate::sip::{
    flow::DEFAULT_PORT,
    header::Via,
    headers::Name,
    message::{Message, StartLine},
    method::Method,
};

/// What every branch of an RFC 3261 peer begins with.
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

/// The key of the server transaction that a request belongs to. A CANCEL and an ACK find their INVITE with
/// `method` INVITE.
pub(crate) fn server_key(via: &Via, request: &Message, method: &Method) -> String {
    let method = if *method == Method::Ack { &Method::Invite } else { method };
    match via.branch() {
        Some(branch) if branch.len() > MAGIC_COOKIE.len() && branch.starts_with(MAGIC_COOKIE) => {
            let port = via.port.unwrap_or(DEFAULT_PORT);
            format!("s {} {}:{port} {method}", branch.to_ascii_lowercase(), via.host.as_str().to_ascii_lowercase())
        }
        // RFC 2543: the fields that stay the same from the INVITE to its ACK and its CANCEL.
        _ => {
            let from = request.headers.get(Name::FROM).unwrap_or_default();
            let call_id = request.headers.get(Name::CALL_ID).unwrap_or_default();
            let number = request.cseq().map_or(0, |(number, _)| number);
            format!("o {call_id} {from} {number} {}:{:?} {method}", via.host, via.port)
        }
    }
}

/// What merged requests have in common (RFC 3261 section 8.2.2.2).
pub(crate) fn merge_key(request: &Message) -> Option<String> {
    let tag = request.from().ok()?.tag()?.to_owned();
    let (number, method) = request.cseq().ok()?;
    Some(format!("{} {tag} {number} {method}", request.call_id().ok()?))
}

/// The key of the client transaction that a response belongs to.
pub(crate) fn client_key(branch: &str, method: &Method) -> String {
    format!("c {branch} {method}")
}

/// The ACK of a 300 to 699 (RFC 3261 section 17.1.1.3).
pub(super) fn ack_of_rejection(invite: &Message, response: &Message) -> Message {
    let mut ack = like_invite(invite, Method::Ack);
    if let Some(to) = response.headers.get(Name::TO) {
        ack.headers.set(Name::TO, to);
    }
    ack
}

/// The CANCEL of an INVITE (RFC 3261 section 9.1).
pub(crate) fn cancel_of(invite: &Message) -> Message {
    like_invite(invite, Method::Cancel)
}

/// A request of the same transaction: same Request-URI, top Via, Route, From, To, Call-ID and CSeq number.
fn like_invite(invite: &Message, method: Method) -> Message {
    let StartLine::Request { uri, .. } = &invite.start else { return invite.clone() };
    let number = invite.cseq().map_or(1, |(number, _)| number);
    let mut request = Message::request(method.clone(), uri.clone());
    if let Some(via) = invite.headers.get(Name::VIA) {
        request.headers.push(Name::VIA, via);
    }
    request.headers.push(Name::MAX_FORWARDS, "70");
    for (name, value) in invite.headers.iter() {
        if [Name::ROUTE, Name::FROM, Name::TO, Name::CALL_ID].contains(name) {
            request.headers.push(name, value);
        }
    }
    request.headers.push(Name::CSEQ, format!("{number} {method}"));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(via: &str) -> (Via, Message) {
        let mut invite = Message::request(Method::Invite, "sip:milo@127.0.0.1".parse().unwrap());
        invite.headers.push(Name::VIA, via);
        invite.headers.push(Name::MAX_FORWARDS, "9");
        invite.headers.push(Name::ROUTE, "<sip:127.0.0.2;lr>");
        invite.headers.push(Name::FROM, "<sip:a@b>;tag=1");
        invite.headers.push(Name::TO, "<sip:milo@127.0.0.1>");
        invite.headers.push(Name::CALL_ID, "1@b");
        invite.headers.push(Name::CSEQ, "7 INVITE");
        invite.headers.push(Name::CONTACT, "<sip:a@b>");
        (via.parse().unwrap(), invite)
    }

    #[test]
    fn branch_sent_by_and_method_make_the_key() {
        let key = |via: &str, method: &Method| {
            let (via, invite) = invite(via);
            server_key(&via, &invite, method)
        };
        let first = key("SIP/2.0/UDP a.example;branch=z9hG4bKx", &Method::Invite);
        assert_eq!(first, key("SIP/2.0/UDP A.example:5060;branch=z9hG4bKX", &Method::Ack), "the ACK finds its INVITE");
        assert_ne!(first, key("SIP/2.0/UDP a.example;branch=z9hG4bKx", &Method::Cancel));
        assert_ne!(first, key("SIP/2.0/UDP b.example;branch=z9hG4bKx", &Method::Invite));
        assert_ne!(first, key("SIP/2.0/UDP a.example;branch=z9hG4bKy", &Method::Invite));
    }

    #[test]
    fn peers_of_rfc_2543_are_matched_by_the_fields_that_stay() {
        let (via, invite) = invite("SIP/2.0/UDP a.example;branch=1");
        let first = server_key(&via, &invite, &Method::Invite);
        let mut ack = ack_of_rejection(&invite, &Message::response_to(&invite, 486, ""));
        ack.headers.set(Name::TO, "<sip:milo@127.0.0.1>;tag=ours");
        assert_eq!(server_key(&via, &ack, &Method::Ack), first);
        let mut next = invite.clone();
        next.headers.set(Name::CSEQ, "8 INVITE");
        assert_ne!(server_key(&via, &next, &Method::Invite), first);
    }

    #[test]
    fn ack_and_cancel_copy_what_the_rfc_says() {
        let (_, invite) = invite("SIP/2.0/UDP a.example;branch=z9hG4bKx");
        let mut busy = Message::response_to(&invite, 486, "");
        busy.set_to_tag("t");
        let ack = ack_of_rejection(&invite, &busy);
        assert_eq!(
            String::from_utf8(ack.to_bytes()).unwrap(),
            "ACK sip:milo@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             Route: <sip:127.0.0.2;lr>\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:milo@127.0.0.1>;tag=t\r\nCall-ID: 1@b\r\n\
             CSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n"
        );
        let cancel = cancel_of(&invite);
        assert_eq!(cancel.to().unwrap().tag(), None);
        assert_eq!(cancel.headers.get(Name::CSEQ), Some("7 CANCEL"));
    }
}
