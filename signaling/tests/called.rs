//! We are called: scenarios of RFC 3261, RFC 3264 and RFC 6026 in virtual time.

use std::time::Duration;

use crate::line::{Line, SDP, brief, cancel, invite, rtp, to_tag, within};
use milo_media::Direction;
use milo_signaling::{
    EndReason, SignalingError, Transport,
    sip::{Name, core::Event, flow::Path},
};

const MINUTE: Duration = Duration::from_secs(60);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_call_from_invite_to_bye_leaves_nothing_behind() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        let call = line.invited();
        line.act(|core, now| core.ring(now, call)).unwrap();
        let ringing = line.only();
        assert_eq!(brief(&ringing), "180 INVITE");
        line.act(|core, now| core.answer(now, call, rtp())).unwrap();
        let ok = line.only();
        assert_eq!(to_tag(&ok), to_tag(&ringing));
        assert!(ok.contact().unwrap().is_some());
        assert_eq!(
            ok.headers.get(Name::ALLOW),
            Some("INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE, REFER, NOTIFY, MESSAGE")
        );
        assert_eq!(ok.content_type().as_deref(), Some("application/sdp"));
        line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
        line.pass(MINUTE);
        assert!(line.spoke().is_empty(), "an acknowledged 200 is not repeated");
        line.hear(&within(&to_tag(&ok), "BYE", 2, "bye", ""));
        assert_eq!(line.spoke(), ["200 BYE"]);
        assert_eq!(line.ended(), EndReason::RemoteHangup);
        line.hear(&within(&to_tag(&ok), "BYE", 2, "bye", ""));
        let again = if transport == Transport::Udp { "200 BYE" } else { "481 BYE" };
        assert_eq!(line.spoke(), [again]);
        line.pass(MINUTE);
        line.assert_empty();
    }
}

#[test]
fn a_repeated_invite_is_answered_by_its_transaction() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.hear(&invite(SDP));
    assert_eq!(line.spoke(), ["100 INVITE"]);
    line.act(|core, now| core.ring(now, call)).unwrap();
    line.hear(&invite(SDP));
    assert_eq!(line.spoke(), ["180 INVITE", "180 INVITE"]);
    assert!(line.events().is_empty(), "it is one call");
}

#[test]
fn a_slow_user_gives_100_and_a_ringing_one_180_every_minute() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.pass(ms(200));
    assert_eq!(line.spoke(), ["100 INVITE"]);
    line.act(|core, now| core.ring(now, call)).unwrap();
    line.pass(MINUTE * 2);
    assert_eq!(line.spoke(), ["180 INVITE", "180 INVITE", "180 INVITE"]);
}

#[test]
fn a_lost_200_is_repeated_until_the_ack() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = line.answered();
    line.pass(ms(8000));
    let times: Vec<_> = line.spoke_when().into_iter().map(|(at, what)| (at, what == "200 INVITE")).collect();
    assert_eq!(times, [(500, true), (1500, true), (3500, true), (7500, true)]);
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty());
    assert!(line.events().is_empty());
}

#[test]
fn a_lost_ack_ends_in_a_bye_after_64_t1_and_nothing_stays() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        line.answered();
        line.pass(ms(32_000));
        let spoken = line.spoke_when();
        assert_eq!(spoken.len(), 11, "ten repetitions on any transport, then the BYE: {spoken:?}");
        assert_eq!(spoken.last(), Some(&(32_000, "BYE".to_owned())));
        assert_eq!(line.ended(), EndReason::Unacknowledged);
        line.pass(MINUTE * 2);
        line.assert_empty();
    }
}

#[test]
fn bye_before_ack_is_accepted() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = line.answered();
    line.hear(&within(&to_tag(&ok), "BYE", 2, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
    assert_eq!(line.ended(), EndReason::RemoteHangup);
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty());
    line.assert_empty();
}

#[test]
fn bye_of_an_early_dialog_ends_the_invite_too() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.act(|core, now| core.ring(now, call)).unwrap();
    let tag = to_tag(&line.only());
    line.hear(&within(&tag, "BYE", 2, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE", "487 INVITE"]);
    assert_eq!(line.ended(), EndReason::Cancelled);
}

#[test]
fn our_bye_waits_for_the_ack() {
    let mut line = Line::new(Transport::Udp);
    let (call, ok) = line.answered();
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert!(line.spoke().is_empty());
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
    let bye = line.only();
    assert_eq!(brief(&bye), "BYE");
    assert_eq!(bye.cseq().unwrap().0, 1);
    line.hear(&crate::line::response(&bye, 200, "", ""));
    assert!(line.events().is_empty(), "who hangs up knows");
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn an_unanswered_bye_is_repeated_and_given_up() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = line.up();
    line.act(|core, now| core.release(now, call));
    line.pass(MINUTE);
    assert_eq!(line.spoke().len(), 11);
    line.assert_empty();
}

#[test]
fn crossing_byes_are_both_answered() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    line.hear(&within(&tag, "BYE", 2, "bye", ""));
    assert_eq!(line.spoke(), ["BYE", "200 BYE"]);
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn cancel_is_200_and_the_invite_487() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.act(|core, now| core.ring(now, call)).unwrap();
    let tag = to_tag(&line.only());
    line.hear(&cancel());
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["200 CANCEL", "487 INVITE"]);
    assert!(sent.iter().all(|response| to_tag(response) == tag));
    assert_eq!(line.ended(), EndReason::Cancelled);
    assert!(matches!(line.act(|core, now| core.answer(now, call, rtp())), Err(SignalingError::Gone)));
    // The 487 is repeated until its ACK, which bears the branch of the INVITE.
    line.pass(ms(500));
    assert_eq!(line.spoke(), ["487 INVITE"]);
    line.hear(&within(&tag, "ACK", 1, "invite", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty());
    line.assert_empty();
}

#[test]
fn cancel_that_loses_the_race_changes_nothing() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = line.answered();
    line.hear(&cancel());
    assert_eq!(line.spoke(), ["200 CANCEL"]);
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
    assert!(line.events().is_empty());
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn cancel_of_nothing_is_481() {
    let mut line = Line::new(Transport::Udp);
    line.hear(&cancel());
    assert_eq!(line.spoke(), ["481 CANCEL"]);
    line.assert_empty();
}

#[test]
fn requests_within_unknown_dialogs_are_481_and_their_ack_is_silence() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    for method in ["BYE", "INVITE", "OPTIONS", "INFO", "REFER", "NOTIFY"] {
        let branch = format!("x{method}");
        line.hear(&within("nobody", method, 2, &branch, ""));
        assert_eq!(line.spoke(), [format!("481 {method}")]);
        line.hear(&within(&tag, method, 2, &branch, "").replace("tag=rasoa", "tag=impostor"));
        assert_eq!(line.spoke(), [format!("481 {method}")]);
    }
    line.hear(&within("nobody", "ACK", 2, "x", ""));
    assert!(line.spoke().is_empty());
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn cseq_may_jump_ahead_and_a_lower_one_is_500() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    line.hear(&within(&tag, "OPTIONS", 4_000_000, "jump", ""));
    line.hear(&within(&tag, "OPTIONS", 3, "back", ""));
    assert_eq!(line.spoke(), ["200 OPTIONS", "500 OPTIONS"]);
    line.hear(&within(&tag, "INVITE", 3, "back2", SDP));
    assert_eq!(line.spoke(), ["500 INVITE"]);
    line.hear(&within(&tag, "BYE", 4_000_001, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
}

#[test]
fn a_request_that_came_twice_by_two_ways_is_482() {
    let mut line = Line::new(Transport::Udp);
    line.invited();
    line.hear(&invite(SDP).replace("branch=z9hG4bKinvite", "branch=z9hG4bKother"));
    assert_eq!(line.spoke(), ["482 INVITE"]);
    assert!(line.events().is_empty());
}

#[test]
fn methods_that_are_not_served_say_which_are() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    let outside =
        |method: &str| invite("").replace("INVITE", method).replace("call1", method).replace("bKinvite", method);
    for method in ["REGISTER", "SUBSCRIBE", "PUBLISH"] {
        line.hear(&outside(method).replace("branch=z9hG4", "branch=z9hG4bK"));
        let response = line.only();
        assert_eq!((brief(&response), response.headers.has(Name::ALLOW)), (format!("405 {method}"), true));
    }
    line.hear(&outside("JUMP"));
    let response = line.only();
    assert_eq!((brief(&response), response.headers.has(Name::ALLOW)), ("501 JUMP".to_owned(), true));
    for (number, method) in [(2, "REGISTER"), (3, "PUBLISH")] {
        line.hear(&within(&tag, method, number, method, ""));
        line.hear(&within(&tag, method, number, method, ""));
        assert_eq!(line.spoke(), [format!("405 {method}"), format!("405 {method}")]);
    }
    line.hear(&within(&tag, "BYE", 4, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
}

#[test]
fn options_says_what_we_can_and_keeps_no_state() {
    let mut line = Line::new(Transport::Udp);
    line.hear(&invite("").replace("INVITE", "OPTIONS"));
    let response = line.only();
    assert_eq!(brief(&response), "200 OPTIONS");
    assert_eq!(
        response.headers.get(Name::ALLOW),
        Some("INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE, REFER, NOTIFY, MESSAGE")
    );
    assert_eq!(
        response.headers.get(Name::ACCEPT),
        Some("application/sdp, application/dtmf-relay, application/dtmf, text/plain")
    );
    let tag = to_tag(&response);
    line.hear(&invite("").replace("INVITE", "OPTIONS"));
    assert_eq!(to_tag(&line.only()), tag, "the same request gets the same tag");
    line.assert_empty();
}

#[test]
fn a_new_offer_is_answered_with_the_next_version_and_told() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = line.answered();
    let tag = to_tag(&ok);
    line.hear(&within(&tag, "ACK", 1, "ack", ""));
    // At once after the ACK.
    let hold = format!("{SDP}a=sendonly\r\n");
    line.hear(&within(&tag, "INVITE", 2, "hold", &hold));
    let held = line.only();
    assert_eq!(brief(&held), "200 INVITE");
    assert_eq!(line.media().direction, Direction::RecvOnly);
    let version = |message: &milo_signaling::sip::Message| {
        let sdp = milo_signaling::sdp::Sdp::parse(message.sdp().unwrap()).unwrap();
        (sdp.origin.session_id, sdp.origin.version)
    };
    let (id, first) = version(&ok);
    let (same_id, second) = version(&held);
    assert_eq!(id, same_id);
    assert_eq!(second.parse::<u64>().unwrap(), first.parse::<u64>().unwrap() + 1);
    line.hear(&within(&tag, "ACK", 2, "ack2", ""));
    line.hear(&within(&tag, "INVITE", 3, "resume", SDP));
    assert_eq!(line.spoke(), ["200 INVITE"]);
    assert_eq!(line.media().direction, Direction::SendRecv);
    line.hear(&within(&tag, "ACK", 3, "ack3", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty());
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn a_reinvite_without_offer_gets_one_and_the_ack_answers() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    line.hear(&within(&tag, "INVITE", 2, "re", ""));
    let ok = line.only();
    assert!(ok.sdp().is_some());
    assert!(line.events().is_empty());
    // While the answer is missing another INVITE must wait.
    line.hear(&within(&tag, "INVITE", 3, "re3", SDP));
    assert_eq!(line.spoke(), ["491 INVITE"]);
    line.hear(&within(&tag, "ACK", 2, "ack", &SDP.replace("40000", "40002")));
    assert_eq!(line.media().remote.port(), 40002);
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn a_reinvite_before_the_answer_is_500_with_retry_after() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.act(|core, now| core.ring(now, call)).unwrap();
    let tag = to_tag(&line.only());
    line.hear(&within(&tag, "INVITE", 2, "early", SDP));
    let early = line.only();
    assert_eq!((early.status(), early.headers.has(Name::RETRY_AFTER)), (Some(500), true));
    line.hear(&within(&tag, "ACK", 2, "early", ""));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    line.sent();
    line.hear(&within(&tag, "ACK", 1, "ack", ""));
    line.hear(&within(&tag, "INVITE", 4, "re4", SDP));
    assert_eq!(line.spoke(), ["200 INVITE"]);
}

#[test]
fn an_offer_in_a_reinvite_that_cannot_be_met_leaves_the_call_as_it_was() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    let g729 = SDP.replace("RTP/AVP 0 101", "RTP/AVP 18");
    line.hear(&within(&tag, "INVITE", 2, "re", &g729));
    line.hear(&within(&tag, "INVITE", 2, "re", &g729));
    assert_eq!(line.spoke(), ["488 INVITE", "488 INVITE"]);
    line.hear(&within(&tag, "ACK", 2, "re", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty());
    assert!(line.events().is_empty());
    assert_eq!((line.core.counters().calls, line.core.counters().transactions), (1, 0));
}

#[test]
fn a_reinvite_whose_200_is_never_acknowledged_ends_the_call() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    line.hear(&within(&tag, "INVITE", 2, "re", SDP));
    line.media();
    line.pass(ms(32_000));
    assert_eq!(line.spoke().last().map(String::as_str), Some("BYE"));
    assert_eq!(line.ended(), EndReason::Unacknowledged);
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&invite(""));
    assert_eq!(line.act(|core, now| core.answer(now, call, rtp())).unwrap(), None);
    let ok = line.only();
    assert!(String::from_utf8_lossy(ok.sdp().unwrap()).contains("m=audio 30000 RTP/AVP"));
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", SDP));
    assert_eq!(line.media().remote, "127.0.0.1:40000".parse::<std::net::SocketAddr>().unwrap());
}

#[test]
fn a_late_offer_without_an_answer_ends_the_call() {
    for answer in ["", "v=1\r\n"] {
        let mut line = Line::new(Transport::Udp);
        let call = line.invited_with(&invite(""));
        line.act(|core, now| core.answer(now, call, rtp())).unwrap();
        let tag = to_tag(&line.only());
        line.hear(&within(&tag, "ACK", 1, "ack", answer));
        assert_eq!(line.spoke(), ["BYE"]);
        assert!(matches!(line.ended(), EndReason::BadMedia(_)));
        line.pass(MINUTE);
        line.assert_empty();
    }
}

#[test]
fn an_offer_that_cannot_be_met_is_488_with_the_reason() {
    let mut line = Line::new(Transport::Udp);
    line.hear(&invite(&SDP.replace("RTP/AVP 0 101", "RTP/AVP 18")));
    let response = line.only();
    assert_eq!(response.status(), Some(488));
    assert_eq!(response.headers.get(Name::WARNING), Some("305 127.0.0.1:5060 \"Incompatible media format\""));
    line.hear(&invite("v=0\r\nm=audio\r\n"));
    assert_eq!(line.only().status(), Some(400));
    line.hear(&invite("hello").replace("application/sdp", "text/plain"));
    let response = line.only();
    assert_eq!((response.status(), response.headers.get(Name::ACCEPT)), (Some(415), Some("application/sdp")));
    assert!(line.events().is_empty());
    line.assert_empty();
}

#[test]
fn a_released_call_is_refused_and_the_callers_own_limit_holds() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.act(|core, now| core.release(now, call));
    assert_eq!(line.spoke(), ["480 INVITE"]);
    line.pass(MINUTE);
    line.sent();
    line.assert_empty();
    line.invited_with(&invite(SDP).replace("CSeq", "Expires: 10\r\nCSeq"));
    line.pass(ms(10_000));
    assert_eq!(line.spoke(), ["100 INVITE", "487 INVITE"]);
    assert_eq!(line.ended(), EndReason::Cancelled);
}

#[test]
fn abandoned_invites_leave_nothing_behind() {
    let mut line = Line::new(Transport::Udp);
    for number in 0..50 {
        let call = line.invited_with(
            &invite(SDP).replace("call1", &format!("c{number}")).replace("bKinvite", &format!("bK{number}")),
        );
        if number % 2 == 0 {
            line.act(|core, now| core.answer(now, call, rtp())).unwrap();
        } else {
            line.act(|core, now| core.reject_invite(now, call, 486, "")).unwrap();
        }
    }
    assert_eq!(line.core.counters().calls, 25);
    line.pass(MINUTE * 2);
    line.assert_empty();
}

#[test]
fn more_calls_than_the_limit_are_503_without_state() {
    let mut line = Line::with(Transport::Udp, |config| config.max_calls = 1);
    line.invited();
    line.hear(&invite(SDP).replace("call1", "call2").replace("bKinvite", "bK2"));
    let response = line.only();
    assert_eq!((response.status(), response.headers.has(Name::RETRY_AFTER)), (Some(503), true));
    assert_eq!((line.core.counters().calls, line.core.counters().transactions), (1, 1));
    assert_eq!(line.core.counters().overloaded, 1);
}

#[test]
fn more_transactions_than_are_kept_are_503_without_state_and_goodbyes_are_heard() {
    let mut line = Line::with(Transport::Udp, |config| config.max_calls = 1);
    let (_, tag) = line.up();
    let counted = |line: &Line| line.core.counters().transactions;
    let mut number = 1;
    let mut asks = |line: &mut Line| {
        number += 1;
        line.hear(&within(&tag, "INFO", number, &format!("info{number}"), ""));
        line.sent().pop().and_then(|answer| answer.status())
    };
    while asks(&mut line) == Some(200) {
        assert!(counted(&line) < 10_000, "it is bounded");
    }
    let most = counted(&line);
    assert!(most > 4_000, "{most}");
    line.hear(&within(&tag, "INFO", 20_000, "late", ""));
    let turned_away = line.only();
    assert_eq!((turned_away.status(), turned_away.headers.has(Name::RETRY_AFTER)), (Some(503), true));
    assert_eq!(counted(&line), most, "nothing is kept of it");
    line.hear(&within(&tag, "BYE", 20_001, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
    line.pass(Duration::from_secs(40));
    line.assert_empty();
}

#[test]
fn a_503_says_when_to_come_back() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.act(|core, now| core.reject_invite(now, call, 503, "")).unwrap();
    let wait: u32 = line.only().headers.get(Name::RETRY_AFTER).unwrap().parse().unwrap();
    assert!((2..=10).contains(&wait));
}

#[test]
fn strangers_are_forbidden_a_few_times_and_a_trunk_is_served() {
    let mut line = Line::with(Transport::Udp, |config| config.trusted = vec!["192.0.2.0/24".parse().unwrap()]);
    line.flow.local = "198.51.100.1:5060".parse().unwrap();
    line.flow.remote = "203.0.113.5:5080".parse().unwrap();
    for _ in 0..100 {
        line.hear(&invite(SDP));
    }
    assert_eq!(line.spoke(), ["403 INVITE"; 4]);
    assert!(line.events().is_empty());
    assert_eq!(line.core.counters().refused, 100);
    line.assert_empty();
    line.flow.remote = "192.0.2.9:5080".parse().unwrap();
    line.invited();
}

#[test]
fn public_address_is_told_to_the_world_and_not_to_our_own_network() {
    let public = Some("203.0.113.77".parse().unwrap());
    let mut line = Line::with(Transport::Udp, |config| {
        config.public_address = public;
        config.media_address = "0.0.0.0".parse().unwrap();
        config.trusted = vec!["192.0.2.0/24".parse().unwrap()];
    });
    let told = |line: &mut Line| {
        let call = line.invited();
        line.act(|core, now| core.answer(now, call, "0.0.0.0:30000".parse().unwrap())).unwrap();
        let ok = line.only();
        let contact = ok.contact().unwrap().unwrap().uri.to_string();
        let sdp = String::from_utf8_lossy(ok.sdp().unwrap()).into_owned();
        let address = sdp.lines().find_map(|l| l.strip_prefix("c=IN IP4 ")).unwrap().to_owned();
        (contact, address)
    };
    let home = told(&mut line);
    assert_eq!(home, ("sip:milo@127.0.0.1:5060".to_owned(), "127.0.0.1".to_owned()));
    let mut line = Line::with(Transport::Udp, |config| {
        config.public_address = public;
        config.trusted = vec!["192.0.2.0/24".parse().unwrap()];
    });
    line.flow.local = "10.0.0.4:5060".parse().unwrap();
    line.flow.remote = "192.0.2.9:5080".parse().unwrap();
    let abroad = told(&mut line);
    assert_eq!(abroad, ("sip:milo@203.0.113.77:5060".to_owned(), "203.0.113.77".to_owned()));
    let mut line = Line::with(Transport::Udp, |config| {
        config.public_address = public;
        config.trusted = vec!["10.0.0.0/8".parse().unwrap()];
    });
    line.flow.local = "10.0.0.4:5060".parse().unwrap();
    line.flow.remote = "10.0.7.9:5080".parse().unwrap();
    assert_eq!(told(&mut line).0, "sip:milo@10.0.0.4:5060", "a telephone in our own network");
}

#[test]
fn answers_and_byes_follow_via_and_contact() {
    let mut line = Line::new(Transport::Udp);
    line.flow.remote = "127.0.0.1:45000".parse().unwrap();
    let call = line.invited_with(&invite(SDP).replace(";rport", ""));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    assert_eq!(
        line.went(),
        ["127.0.0.1:5080".parse::<std::net::SocketAddr>().unwrap()],
        "no rport: the port of sent-by"
    );
    let tag = to_tag(&line.only());
    line.hear(&within(&tag, "ACK", 1, "ack", ""));
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.went(), ["127.0.0.1:5080".parse::<std::net::SocketAddr>().unwrap()], "the Contact");
}

#[test]
fn record_route_is_returned_and_becomes_the_route() {
    let mut line = Line::new(Transport::Udp);
    let route = "<sip:127.0.0.1:5099;lr>";
    let call = line.invited_with(&invite(SDP).replace("CSeq", &format!("Record-Route: {route}\r\nCSeq")));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    let ok = line.only();
    assert_eq!(ok.headers.get(Name::RECORD_ROUTE), Some(route));
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.went(), ["127.0.0.1:5099".parse::<std::net::SocketAddr>().unwrap()]);
    assert_eq!(line.only().headers.get(Name::ROUTE), Some(route));
}

#[test]
fn shutting_down_says_goodbye_to_every_call() {
    let mut line = Line::new(Transport::Udp);
    line.up();
    line.events();
    line.act(|core, now| core.shutdown(now));
    assert_eq!(line.spoke(), ["BYE"]);
    assert!(matches!(line.events()[..], [Event::Ended(_, EndReason::Shutdown)]));
}

#[test]
fn a_full_house_takes_calls_for_help_and_places_them() {
    let mut line = Line::with(Transport::Udp, |config| {
        config.max_calls = 1;
        config.urgent = vec!["117".to_owned()];
    });
    line.invited();
    line.events();
    let other = |id: &str, number: &str| {
        invite(SDP).replace("call1", id).replace("bKinvite", id).replace("sip:milo@", &format!("sip:{number}@"))
    };
    line.hear(&other("no", "118"));
    assert_eq!(line.spoke(), ["503 INVITE"]);
    // However it is written (RFC 3966 section 5.1.1); `%28` is a bracket.
    for (id, number) in ["117", "1-1-7", "%28117%29", "117;phone-context=+261"].into_iter().enumerate() {
        line.hear(&other(&format!("help{id}"), number));
        assert!(matches!(line.events()[..], [Event::Invitation { .. }]), "{number}");
    }
    let target = "sip:117@127.0.0.1:5080".parse().unwrap();
    let path = Path { flow: line.flow, or_connect: None };
    let full = line.act(|core, now| core.call(now, &target, "milo", path, rtp()));
    assert!(matches!(full, Err(SignalingError::Full { limit: 1 })));
    line.act(|core, now| core.call_anyway(now, &target, "milo", path, rtp())).unwrap();
    assert_eq!(line.spoke(), ["INVITE"]);
}
