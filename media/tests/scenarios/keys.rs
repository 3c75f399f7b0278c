//! Keys pressed on one leg and heard on another.

use std::time::Duration;

use milo_media::{
    Heard, Leg, LegOptions, MediaError, PortPool, Session,
    dtmf::{InbandDigits, PressBy},
};
use tokio::{runtime::Handle, time::timeout};

use crate::peer::{LOOPBACK, Peer, loud, session, within};

const PRESS: Duration = Duration::from_millis(80);

/// Two legs that speak to each other.
fn pair(agreed: impl Fn(Session) -> Session, options: &LegOptions) -> (Leg, Leg) {
    let pool = PortPool::new(LOOPBACK, 0..=0);
    let sockets = [pool.bind().expect("a port"), pool.bind().expect("a port")];
    let at = sockets.each_ref().map(|socket| socket.local_addr().expect("bound"));
    let [a, b] = sockets;
    let start = |socket, other| Leg::start(socket, Some(agreed(session(other))), options.clone(), &Handle::current());
    (start(a, at[1]), start(b, at[0]))
}

/// The keys heard until none came for half a second.
async fn keys(leg: &mut Leg) -> String {
    let mut keys = String::new();
    loop {
        let next = async {
            loop {
                if let Heard::Digit(key) = leg.ears.next().await {
                    return key;
                }
            }
        };
        match timeout(Duration::from_millis(500), next).await {
            Ok(key) => keys.push(key),
            Err(_) => return keys,
        }
    }
}

async fn press(leg: &mut Leg, keys: &str, by: PressBy) {
    for key in keys.chars() {
        within(leg.voice.press(key, PRESS, by)).await.expect("a key");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_heard_as_they_were_agreed_on() {
    let by_event = |session: Session| session;
    let by_tone = |session: Session| Session { telephone_event: None, ..session };
    for (agreed, has_events) in [(&by_event as &dyn Fn(Session) -> Session, true), (&by_tone, false)] {
        let (mut here, mut there) = pair(agreed, &LegOptions::default());
        assert_eq!(here.control.has_key_events(), has_events);
        here.voice.play(loud()).await;
        press(&mut here, "1122#A0d", PressBy::Agreement).await;
        assert_eq!(keys(&mut there).await, "1122#A0D", "events: {has_events}");
        within(here.voice.drained()).await;
        assert_eq!(here.voice.played().samples, 320, "what was played has left too");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tones_are_looked_for_when_that_is_configured() {
    for (inband_digits, heard) in [(InbandDigits::Auto, ""), (InbandDigits::On, "147"), (InbandDigits::Off, "")] {
        let options = LegOptions { inband_digits, ..LegOptions::default() };
        let (mut here, mut there) = pair(|session| session, &options);
        press(&mut here, "147", PressBy::Tones).await;
        assert_eq!(keys(&mut there).await, heard, "{inband_digits:?}, with telephone-event agreed on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_press_that_signaling_tells_too_is_heard_once() {
    let (mut here, mut there) = pair(|session| session, &LegOptions::default());
    press(&mut here, "5", PressBy::Agreement).await;
    there.control.hear_key('5', PRESS);
    there.control.hear_key('6', PRESS);
    let mut heard: Vec<_> = keys(&mut there).await.chars().collect();
    heard.sort_unstable();
    assert_eq!(heard, ['5', '6']);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_keys_can_be_pressed_and_only_so_many_wait() {
    let (peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let refused = leg.voice.press('x', PRESS, PressBy::Agreement).await;
    assert!(matches!(refused, Err(MediaError::Key { key: 'x' })));
    leg.control.change(Session { direction: milo_media::Direction::RecvOnly, ..session(peer.address()) });
    within(async { while !matches!(leg.ears.next().await, Heard::Held) {} }).await;
    let keys = "1".repeat(33);
    let many = press(&mut leg, &keys, PressBy::Agreement);
    assert!(timeout(Duration::from_millis(200), many).await.is_err(), "32 wait");
}
