//! UPDATE (RFC 3311): another session and another target, before the answer and after it, in the early dialogs of either side.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use milo_media::Session;
use milo_signaling::{
    Transport,
    sip::{Message, Name, core::Event},
};

use crate::{
    early::{able, at, early, heard_early, prack, reliable, with},
    line::{Line, SDP, brief, from_callee, invite, response, rtp, to_tag, within},
};

/// An offer of nothing that we speak.
fn foreign() -> String {
    SDP.replace("RTP/AVP 0 101", "RTP/AVP 18")
}

/// In how many seconds a refused offer may come again.
fn retry_after(refused: &Message) -> Option<u32> {
    refused.headers.get(Name::RETRY_AFTER).map(|seconds| seconds.parse().unwrap())
}

#[test]
fn an_update_waits_its_turn_before_the_answer() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    line.act(|core, now| core.ring(now, call)).unwrap();
    let tag = to_tag(&line.only());
    line.hear(&within(&tag, "UPDATE", 2, "u2", SDP));
    let refused = line.only();
    assert_eq!(brief(&refused), "500 UPDATE");
    assert!(refused.headers.get(Name::RETRY_AFTER).unwrap().parse::<u32>().unwrap() <= 10);
    let (progress, _) = early(&mut line, call);
    line.hear(&prack(&progress, 3, ""));
    line.sent();
    line.hear(&within(&tag, "UPDATE", 4, "u4", &at(42_000)));
    let ok = line.only();
    assert_eq!((brief(&ok).as_str(), ok.sdp().is_some()), ("200 UPDATE", true));
    let session = line.media();
    assert!(session.is_early && session.remote.port() == 42_000);
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    line.sent();
    assert_eq!(line.media(), Session { is_early: false, ..session });
    line.hear(&within(&tag, "UPDATE", 4, "late", SDP));
    assert_eq!(line.spoke(), ["500 UPDATE"], "its CSeq has been");
}

#[test]
fn an_update_changes_target_and_session_of_a_call_that_is_up() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    let moved =
        within(&tag, "UPDATE", 2, "u2", "").replace("<sip:rasoa@127.0.0.1:5080>", "<sip:elsewhere@127.0.0.1:5099>");
    line.hear(&moved);
    line.hear(&moved);
    let ok = line.sent();
    assert_eq!(ok.iter().map(brief).collect::<Vec<_>>(), ["200 UPDATE", "200 UPDATE"]);
    assert!(ok[0].sdp().is_none() && ok[0].contact().unwrap().is_some());
    assert!(line.events().is_empty());
    line.hear(&within(&tag, "UPDATE", 3, "u3", &SDP.replace("RTP/AVP 0 101", "RTP/AVP 18")));
    assert_eq!(line.spoke(), ["488 UPDATE"]);
    let moved = within(&tag, "UPDATE", 4, "u4", &format!("{SDP}a=sendonly\r\n"));
    line.hear(&moved.replace("<sip:rasoa@127.0.0.1:5080>", "<sip:elsewhere@127.0.0.1:5099>"));
    assert_eq!(line.spoke(), ["200 UPDATE"]);
    let session = line.media();
    assert!(!session.direction.sends() && !session.is_early);
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.only().uri().unwrap().to_string(), "sip:elsewhere@127.0.0.1:5099");
    line.hear(&within(&tag, "UPDATE", 5, "u5", ""));
    assert_eq!(line.spoke(), ["481 UPDATE"]);
    line.hear(&within("nobody", "UPDATE", 5, "u6", ""));
    assert_eq!(line.spoke(), ["481 UPDATE"]);
}

#[test]
fn an_update_against_our_open_offer_is_glare() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&invite(""));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    let tag = to_tag(&line.only());
    line.hear(&within(&tag, "UPDATE", 2, "u2", SDP));
    assert_eq!(line.spoke(), ["491 UPDATE"]);
    // Without an offer there is no glare.
    line.hear(&within(&tag, "UPDATE", 3, "u3", ""));
    assert_eq!(line.spoke(), ["200 UPDATE"]);
    line.hear(&within(&tag, "ACK", 1, "ack", SDP));
    line.media();
}

#[test]
fn a_callee_may_change_what_it_said_reliably_by_update() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&response(&invite, 183, "callee", SDP));
    line.events();
    line.hear(&from_callee(&invite, "callee", "UPDATE", 1, &at(45_000)));
    assert_eq!(line.spoke(), ["491 UPDATE"], "our offer may still be answered otherwise");
    line.hear(&reliable(&invite, 183, "callee", 7, SDP));
    line.sent();
    line.hear(&from_callee(&invite, "callee", "UPDATE", 2, &at(45_000)));
    let ok = line.only();
    assert_eq!((brief(&ok).as_str(), ok.sdp().is_some()), ("200 UPDATE", true));
    assert_eq!(heard_early(&mut line).remote.port(), 45_000);
    line.hear(&response(&invite, 200, "callee", ""));
    line.sent();
    assert_eq!(line.media().remote.port(), 45_000);
}

#[test]
fn an_update_without_an_offer_moves_a_caller_that_waits_and_touches_nothing_else() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    line.act(|core, now| core.ring(now, call)).unwrap();
    let tag = to_tag(&line.only());
    // Our answer is still owed, which forbids an offer and nothing else; and no session timer runs before the answer.
    let update = with(&within(&tag, "UPDATE", 2, "u2", ""), "Supported: timer\r\nSession-Expires: 90;refresher=uac");
    line.hear(&update.replace("<sip:rasoa@127.0.0.1:5080>", "<sip:elsewhere@127.0.0.1:5099>"));
    let ok = line.only();
    assert_eq!((brief(&ok).as_str(), ok.sdp(), ok.headers.get("Session-Expires")), ("200 UPDATE", None, None));
    assert!(ok.contact().unwrap().is_some() && line.events().is_empty());
    line.pass(Duration::from_secs(50));
    assert!(line.spoke().is_empty() && line.events().is_empty(), "it still waits");
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    assert_eq!(line.spoke(), ["200 INVITE"]);
    line.hear(&within(&tag, "ACK", 1, "ack", "").replace("<sip:rasoa@127.0.0.1:5080>", "<sip:x@127.0.0.1:5098>"));
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.only().uri().unwrap().to_string(), "sip:elsewhere@127.0.0.1:5099", "an ACK moves nobody");
}

#[test]
fn an_offer_that_cannot_be_used_before_the_answer_is_refused_and_the_call_goes_on() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    let (progress, _) = early(&mut line, call);
    let tag = to_tag(&progress);
    line.hear(&prack(&progress, 2, ""));
    line.sent();
    line.events();
    for (number, offer, code) in [(3, foreign(), "488 UPDATE"), (4, "nonsense".to_owned(), "400 UPDATE")] {
        line.hear(&within(&tag, "UPDATE", number, &format!("u{number}"), &offer));
        assert_eq!(line.spoke(), [code]);
        assert!(line.events().is_empty(), "nobody hears of it");
    }
    line.hear(&within(&tag, "UPDATE", 5, "u5", &format!("{}a=sendonly\r\n", at(43_000))));
    assert_eq!(line.spoke(), ["200 UPDATE"], "the next one is taken");
    let held = line.media();
    assert!(held.is_early && !held.direction.sends() && held.remote.port() == 43_000);
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    let ok = line.only();
    assert_eq!((brief(&ok).as_str(), ok.sdp()), ("200 INVITE", None), "all has been said");
    assert_eq!(line.media(), Session { is_early: false, ..held }, "what was agreed on last holds");
    line.hear(&within(&tag, "ACK", 1, "ack", ""));
    line.hear(&within(&tag, "BYE", 6, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
    assert!(matches!(line.events()[..], [Event::Ended(..)]));
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn of_several_callees_each_changes_its_own_session_and_none_ends_the_call() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = line.calling();
    for (tag, rseq, port) in [("one", 7, 41_000), ("two", 9, 42_000)] {
        line.hear(&reliable(&invite, 183, tag, rseq, &at(port)));
        assert_eq!(line.spoke(), ["PRACK"]);
        line.events();
    }
    // Nothing was said reliably by a third: our offer is open there, and the others' are not.
    line.hear(&response(&invite, 180, "three", ""));
    line.events();
    line.hear(&from_callee(&invite, "three", "UPDATE", 1, &at(43_000)));
    let refused = line.only();
    assert_eq!((brief(&refused).as_str(), retry_after(&refused)), ("491 UPDATE", None));
    line.hear(&from_callee(&invite, "one", "UPDATE", 2, &foreign()));
    assert_eq!(line.spoke(), ["488 UPDATE"]);
    line.hear(&from_callee(&invite, "one", "UPDATE", 3, &at(44_000)));
    assert_eq!(line.spoke(), ["200 UPDATE"]);
    assert_eq!(heard_early(&mut line).remote.port(), 44_000);
    line.hear(&from_callee(&invite, "two", "UPDATE", 4, ""));
    assert_eq!(line.spoke(), ["200 UPDATE"], "without an offer it is always right");
    assert!(line.events().is_empty());
    line.hear(&response(&invite, 200, "two", ""));
    assert_eq!(line.spoke(), ["ACK"]);
    assert_eq!(line.media().remote.port(), 42_000, "the other's change is its own");
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.spoke(), ["BYE"]);
}
