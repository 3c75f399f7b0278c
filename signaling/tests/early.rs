//! Sound before the answer, and provisional responses that are acknowledged: scenarios of RFC 3960 and RFC 3262 in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, cancel, from_callee, invite, response, rtp, to_tag, within};
use milo_media::Session;
use milo_signaling::{
    EndReason, SignalingError, Transport,
    sip::{
        Message, Name,
        core::{CallKey, EarlyMedia, Event},
    },
};

const MINUTE: Duration = Duration::from_secs(60);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The same with one more header field.
pub(crate) fn with(message: &str, field: &str) -> String {
    message.replacen("\r\n", &format!("\r\n{field}\r\n"), 1)
}

/// An INVITE whose sender can acknowledge provisional responses.
pub(crate) fn able(body: &str) -> String {
    with(&invite(body), "Supported: timer, 100rel")
}

/// The same description with another port.
pub(crate) fn at(port: u16) -> String {
    SDP.replace("audio 40000", &format!("audio {port}"))
}

fn rseq(message: &Message) -> u32 {
    message.headers.get(Name::RSEQ).unwrap().parse().unwrap()
}

/// Our user is heard early; what was said, and what it says of the audio.
pub(crate) fn early(line: &mut Line, call: CallKey) -> (Message, EarlyMedia) {
    let media = line.act(|core, now| core.early(now, call, rtp())).unwrap();
    (line.only(), media)
}

/// The caller's PRACK of this response.
pub(crate) fn prack(told: &Message, number: u32, body: &str) -> String {
    let rack = format!("RAck: {} 1 INVITE", rseq(told));
    with(&within(&to_tag(told), "PRACK", number, &format!("prack{number}"), body), &rack)
}

/// A provisional response of the callee, with this RSeq.
pub(crate) fn reliable(invite: &Message, code: u16, tag: &str, number: u32, body: &str) -> String {
    with(&with(&response(invite, code, tag, body), "Require: 100rel"), &format!("RSeq: {number}"))
}

/// The only news is this session before the answer.
pub(crate) fn heard_early(line: &mut Line) -> Session {
    let sessions: Vec<_> = line
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Early(_, session) => Some(session),
            Event::Ringing(..) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    match &sessions[..] {
        [session] if session.is_early => session.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_said_early_is_said_again_with_the_answer() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    let (progress, media) = early(&mut line, call);
    assert_eq!(brief(&progress), "183 INVITE");
    assert!(!progress.headers.has(Name::RSEQ) && !progress.headers.has(Name::REQUIRE));
    let EarlyMedia::Agreed(session) = media else { panic!("{media:?}") };
    assert!(session.is_early && session.remote.port() == 40_000);
    // Nobody acknowledges it: it is repeated each minute, like any other.
    line.pass(MINUTE);
    assert_eq!(line.only().sdp(), progress.sdp());
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    let ok = line.only();
    assert_eq!((brief(&ok).as_str(), to_tag(&ok)), ("200 INVITE", to_tag(&progress)));
    assert!(ok.sdp().is_some() && ok.sdp() == progress.sdp());
    assert_eq!(line.media(), Session { is_early: false, ..session });
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
    line.hear(&within(&to_tag(&ok), "BYE", 2, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn an_invite_without_an_offer_rings_unless_its_offer_can_be_acknowledged() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&invite(""));
    let (ringing, media) = early(&mut line, call);
    assert!(matches!(media, EarlyMedia::Impossible));
    assert_eq!((brief(&ringing).as_str(), ringing.sdp()), ("180 INVITE", None));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    assert!(line.only().sdp().is_some());
}

#[test]
fn an_early_call_that_is_refused_or_cancelled_leaves_nothing_behind() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    let (progress, _) = early(&mut line, call);
    line.hear(&prack(&progress, 2, ""));
    line.sent();
    line.act(|core, now| core.reject_invite(now, call, 404, "")).unwrap();
    assert_eq!(line.spoke(), ["404 INVITE"]);
    line.hear(&within(&to_tag(&progress), "ACK", 1, "invite", ""));
    line.pass(MINUTE);
    line.assert_empty();

    let call = line.invited();
    early(&mut line, call);
    line.hear(&cancel());
    assert_eq!(line.spoke(), ["200 CANCEL", "487 INVITE"]);
    assert_eq!(line.ended(), EndReason::Cancelled);
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn a_reliable_response_is_repeated_until_its_prack() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    let (progress, _) = early(&mut line, call);
    assert_eq!(progress.headers.get(Name::REQUIRE), Some("100rel"));
    assert!((1..1 << 31).contains(&rseq(&progress)));
    line.pass(ms(4_000));
    let times: Vec<_> = line.spoke_when().into_iter().map(|(at, what)| (at, what == "183 INVITE")).collect();
    assert_eq!(times, [(500, true), (1_500, true), (3_500, true)]);

    let wrong = prack(&progress, 2, "").replace(&format!("RAck: {}", rseq(&progress)), "RAck: 1");
    line.hear(&wrong);
    assert_eq!(line.spoke(), ["481 PRACK"]);
    line.hear(&prack(&progress, 3, ""));
    line.hear(&prack(&progress, 3, ""));
    let answers = line.sent();
    assert_eq!(answers.iter().map(brief).collect::<Vec<_>>(), ["200 PRACK", "200 PRACK"]);
    assert!(answers.iter().all(|answer| answer.sdp().is_none()));
    // Another one for the same response acknowledges nothing.
    line.hear(&prack(&progress, 4, ""));
    assert_eq!(line.spoke(), ["481 PRACK"]);
    line.pass(Duration::from_secs(50));
    assert!(line.spoke().is_empty());
    // A minute later the caller's proxies hear of it again; the description is known.
    line.pass(Duration::from_secs(10));
    let again = line.only();
    assert_eq!((brief(&again).as_str(), again.sdp(), again.headers.has(Name::RSEQ)), ("183 INVITE", None, false));
    // Said reliably it is not said again (RFC 3262 section 5).
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    assert_eq!(line.only().sdp(), None);
    assert!(!line.media().is_early);
    line.hear(&within(&to_tag(&progress), "ACK", 1, "ack", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty() && line.events().is_empty());
}

#[test]
fn a_reliable_response_without_a_prack_ends_the_call_after_64_t1() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        let call = line.invited_with(&able(SDP));
        early(&mut line, call);
        line.pass(ms(32_000));
        let spoken = line.spoke_when();
        let times: Vec<_> = spoken.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500, 31_500, 32_000], "{spoken:?}");
        assert_eq!(spoken.last().unwrap().1, "504 INVITE");
        assert_eq!(line.ended(), EndReason::Unacknowledged);
        line.pass(MINUTE * 2);
        line.assert_empty();
    }
}

#[test]
fn the_answer_waits_for_the_prack_of_the_description() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    let (progress, _) = early(&mut line, call);
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    assert!(line.spoke().is_empty() && line.events().is_empty());
    line.hear(&prack(&progress, 2, ""));
    assert_eq!(line.spoke(), ["200 PRACK", "200 INVITE"]);
    assert!(!line.media().is_early);

    // While it waits the caller may give up, and so may we.
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    early(&mut line, call);
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    line.hear(&cancel());
    assert_eq!(line.spoke(), ["200 CANCEL", "487 INVITE"]);
    assert_eq!(line.ended(), EndReason::Cancelled);

    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    early(&mut line, call);
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.spoke(), ["480 INVITE"]);
}

#[test]
fn who_requires_100rel_is_told_nothing_otherwise() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&with(&invite(SDP), "Require: 100rel"));
    line.act(|core, now| core.ring(now, call)).unwrap();
    let ringing = line.only();
    assert_eq!((brief(&ringing).as_str(), ringing.sdp()), ("180 INVITE", None));
    // The second waits for the first to be acknowledged (RFC 3262 section 3).
    let media = line.act(|core, now| core.early(now, call, rtp())).unwrap();
    assert!(matches!(media, EarlyMedia::Agreed(_)));
    assert!(line.spoke().is_empty());
    line.hear(&prack(&ringing, 2, ""));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["200 PRACK", "183 INVITE"]);
    assert_eq!(rseq(&sent[1]), rseq(&ringing) + 1);
    assert!(sent[1].sdp().is_some());

    // An answer may overtake a ringing, which is acknowledged all the same.
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&with(&invite(SDP), "Require: 100rel"));
    line.act(|core, now| core.ring(now, call)).unwrap();
    let ringing = line.only();
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    let ok = line.only();
    assert!(ok.sdp().is_some());
    line.hear(&prack(&ringing, 2, ""));
    assert_eq!(line.spoke(), ["200 PRACK"]);
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty(), "neither is repeated");
}

#[test]
fn an_offer_in_a_reliable_183_is_answered_in_its_prack() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(""));
    let (progress, media) = early(&mut line, call);
    assert!(matches!(media, EarlyMedia::Offered));
    assert!(String::from_utf8_lossy(progress.sdp().unwrap()).contains("m=audio 30000 RTP/AVP 111"));
    // Our offer is open: no other is taken meanwhile.
    line.hear(&within(&to_tag(&progress), "UPDATE", 2, "update", SDP));
    assert_eq!(line.spoke(), ["491 UPDATE"]);
    line.hear(&prack(&progress, 3, SDP));
    assert_eq!(line.spoke(), ["200 PRACK"]);
    let session = line.media();
    assert!(session.is_early && session.codec.name == "PCMU");
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    assert_eq!(line.only().sdp(), None);
    assert_eq!(line.media(), Session { is_early: false, ..session });
    line.hear(&within(&to_tag(&progress), "ACK", 1, "ack", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty());

    for answer in ["", &SDP.replace("RTP/AVP 0 101", "RTP/AVP 18")] {
        let mut line = Line::new(Transport::Udp);
        let call = line.invited_with(&able(""));
        let (progress, _) = early(&mut line, call);
        line.hear(&prack(&progress, 2, answer));
        assert_eq!(line.spoke(), ["200 PRACK", "488 INVITE"]);
        assert!(matches!(line.ended(), EndReason::BadMedia(_)));
    }
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    let (progress, _) = early(&mut line, call);
    line.hear(&prack(&progress, 2, &at(41_000)));
    let ok = line.only();
    assert_eq!(brief(&ok), "200 PRACK");
    let answer = String::from_utf8_lossy(ok.sdp().unwrap()).into_owned();
    assert!(answer.contains("m=audio 30000 RTP/AVP 0"), "{answer}");
    let session = line.media();
    assert!(session.is_early && session.remote.port() == 41_000);

    // One that cannot be taken is refused stream by stream: the PRACK itself must be accepted.
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&able(SDP));
    let (progress, _) = early(&mut line, call);
    line.hear(&prack(&progress, 2, "nonsense"));
    assert_eq!(line.spoke(), ["400 PRACK"]);
    line.hear(&prack(&progress, 3, &SDP.replace("RTP/AVP 0 101", "RTP/AVP 18")));
    let ok = line.only();
    assert!(String::from_utf8_lossy(ok.sdp().unwrap()).contains("m=audio 0 RTP/AVP 18"));
    assert!(line.events().is_empty());
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    assert_eq!(line.spoke(), ["200 INVITE"]);
    assert_eq!(line.media().remote.port(), 40_000, "what was agreed on before stays");
}

#[test]
fn what_the_far_network_plays_is_heard_before_the_answer() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    assert!(invite.tokens(Name::SUPPORTED).contains(&"100rel".to_owned()));
    line.hear(&response(&invite, 183, "callee", SDP));
    let session = heard_early(&mut line);
    assert!(line.spoke().is_empty(), "nobody wants it acknowledged");
    line.hear(&response(&invite, 183, "callee", SDP));
    line.hear(&response(&invite, 183, "callee", "nonsense"));
    assert!(line.events().is_empty(), "nothing new");
    line.hear(&response(&invite, 200, "callee", &at(43_000)));
    assert_eq!(line.spoke(), ["ACK"]);
    let answered = line.media();
    assert_eq!((session.remote.port(), answered.remote.port(), answered.is_early), (40_000, 43_000, false));
}

#[test]
fn of_several_that_ring_the_last_is_heard_and_the_first_to_answer_stays() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&reliable(&invite, 183, "one", 5, &at(41_000)));
    assert_eq!(heard_early(&mut line).remote.port(), 41_000);
    line.hear(&reliable(&invite, 183, "two", 9, &at(42_000)));
    assert_eq!(heard_early(&mut line).remote.port(), 42_000);
    // Each dialog has numbers of its own.
    let pracks = line.sent();
    let acknowledged: Vec<_> = pracks
        .iter()
        .map(|prack| (prack.to().unwrap().tag().unwrap().to_owned(), prack.headers.get(Name::RACK).unwrap().to_owned()))
        .collect();
    assert_eq!(acknowledged, [("one".into(), "5 1 INVITE".into()), ("two".into(), "9 1 INVITE".into())]);
    assert!(pracks.iter().all(|prack| prack.cseq().unwrap().0 == 2));

    line.hear(&response(&invite, 200, "one", ""));
    let ack = line.only();
    assert_eq!((brief(&ack).as_str(), ack.to().unwrap().tag()), ("ACK", Some("one")));
    assert_eq!(line.media().remote.port(), 41_000, "the one who answered is heard again");
    // The other one answers too late: its call is ended, with a number behind that of its PRACK.
    line.hear(&response(&invite, 200, "two", ""));
    line.hear(&response(&invite, 200, "three", SDP));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["ACK", "BYE", "ACK", "BYE"]);
    let to = |at: usize| (sent[at].to().unwrap().tag().unwrap().to_owned(), sent[at].cseq().unwrap().0);
    assert_eq!([to(0), to(1), to(2), to(3)].map(|(_, number)| number), [1, 3, 1, 2]);
    assert_eq!((to(1).0, to(3).0), ("two".into(), "three".into()));
    assert!(line.events().is_empty());
    // What the one who answered says is heard, what the others say is not.
    line.hear(&from_callee(&invite, "two", "BYE", 1, ""));
    assert_eq!(line.spoke(), ["481 BYE"]);
    line.hear(&from_callee(&invite, "one", "BYE", 1, ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
    assert_eq!(line.ended(), EndReason::RemoteHangup);
}

#[test]
fn each_reliable_response_is_acknowledged_once_and_in_order() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&reliable(&invite, 180, "callee", 7, ""));
    let prack = line.only();
    assert_eq!((brief(&prack).as_str(), prack.headers.get(Name::RACK)), ("PRACK", Some("7 1 INVITE")));
    line.hear(&response(&prack, 200, "", ""));
    // Again, and one whose predecessor was lost: neither acknowledged nor looked at.
    line.hear(&reliable(&invite, 180, "callee", 7, ""));
    line.events();
    line.hear(&reliable(&invite, 183, "callee", 9, SDP));
    assert!(line.spoke().is_empty() && line.events().is_empty());
    line.hear(&reliable(&invite, 183, "callee", 8, SDP));
    assert_eq!(line.only().headers.get(Name::RACK), Some("8 1 INVITE"));
    let session = heard_early(&mut line);
    // What was answered reliably stands, whatever the 200 says (RFC 3261 section 13.2.1).
    line.hear(&response(&invite, 200, "callee", &at(44_000)));
    line.sent();
    assert_eq!(line.media(), Session { is_early: false, ..session });
}

#[test]
fn a_reliable_answer_that_cannot_be_used_takes_the_call_back() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&reliable(&invite, 183, "callee", 7, &SDP.replace("RTP/AVP 0 101", "RTP/AVP 18")));
    assert_eq!(line.spoke(), ["PRACK", "CANCEL"]);
    assert!(matches!(line.events().last(), Some(Event::Ended(_, EndReason::BadMedia(_)))));
}

#[test]
fn a_flood_of_branches_is_bounded() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = line.calling();
    for branch in 0..1_000 {
        line.hear(&reliable(&invite, 183, &format!("branch{branch}"), 1, SDP));
    }
    assert!(line.spoke().len() < 10);
    line.hear(&response(&invite, 200, "branch999", SDP));
    assert_eq!(line.spoke(), ["ACK"]);
    for branch in 0..100 {
        line.hear(&response(&invite, 200, &format!("late{branch}"), SDP));
    }
    assert_eq!(line.spoke().len(), 200);
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    line.pass(MINUTE * 2);
    line.assert_empty();
}

#[test]
fn before_and_after_its_time_nothing_is_early() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    assert!(matches!(line.act(|core, now| core.answer_early(now, call)), Err(SignalingError::Gone)));
    early(&mut line, call);
    assert!(matches!(line.act(|core, now| core.early(now, call, rtp())), Err(SignalingError::Gone)));
    line.act(|core, now| core.answer_early(now, call)).unwrap();
    assert!(matches!(line.act(|core, now| core.early(now, call, rtp())), Err(SignalingError::Gone)));
    assert!(matches!(line.act(|core, now| core.answer_early(now, call)), Err(SignalingError::Gone)));
}
