//! Places that have not answered lately: of several places of one name they are tried last, so that not every call waits for
//! the same one in vain (RFC 3263 section 4.3 tries them in the order that DNS gives).

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::flow::{Flow, Path, Transport, Ways};

/// For how long one is tried last; then it has its turn again.
const SHUNNED: Duration = Duration::from_secs(60);
/// As many as are remembered; of more those past them are not.
const PLACES: usize = 256;

/// The places, and until when each is tried last.
#[derive(Debug, Default)]
pub(super) struct Deaf {
    until: HashMap<(Transport, SocketAddr), Instant>,
}

impl Deaf {
    /// Nobody has answered there.
    pub(super) fn note(&mut self, now: Instant, path: &Path) {
        if self.until.len() >= PLACES {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() < PLACES {
            let place = path.or_connect.unwrap_or(path.flow.remote);
            self.until.insert((path.flow.transport, place), now + SHUNNED);
        }
    }

    /// A response came from there.
    pub(super) fn hears(&mut self, flow: &Flow) {
        self.until.remove(&(flow.transport, flow.remote));
    }

    /// Those that have not answered lately go to the end; among themselves they, and the others, stay in their order. What is too
    /// large for a datagram tries no stream there that was refused lately.
    pub(super) fn put_last(&self, now: Instant, ways: &mut Ways) {
        if self.until.is_empty() {
            return;
        }
        let is_deaf = |path: &Path| {
            let place = path.or_connect.unwrap_or(path.flow.remote);
            self.until.get(&(path.flow.transport, place)).is_some_and(|until| now < *until)
        };
        for way in &mut ways.0 {
            way.if_large = way.if_large.filter(|path| !is_deaf(path));
        }
        ways.0.make_contiguous().sort_by_key(|way| is_deaf(&way.path));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;
    use crate::sip::flow::Way;

    fn path(remote: &str) -> Path {
        let (local, remote) = ("127.0.0.1:5060".parse().unwrap(), remote.parse().unwrap());
        Path { flow: Flow { transport: Transport::Udp, local, remote, connection: None }, or_connect: None }
    }

    #[test]
    fn whoever_has_not_answered_is_tried_last_until_it_is_heard_or_a_minute_has_passed() {
        let now = Instant::now();
        let (one, two, three) = (path("192.0.2.1:5060"), path("192.0.2.2:5060"), path("192.0.2.3:5060"));
        let order = |deaf: &Deaf, now| {
            let ways = [one, two, three].map(|path| Way { path, if_large: None });
            let mut ways = Ways(ways.into());
            deaf.put_last(now, &mut ways);
            ways.0.iter().map(|way| way.path.flow.remote.ip().to_string()).collect::<Vec<_>>().concat()
        };
        let mut deaf = Deaf::default();
        assert_eq!(order(&deaf, now), "192.0.2.1192.0.2.2192.0.2.3");
        deaf.note(now, &one);
        assert_eq!(order(&deaf, now), "192.0.2.2192.0.2.3192.0.2.1");
        deaf.note(now, &two);
        assert_eq!(order(&deaf, now), "192.0.2.3192.0.2.1192.0.2.2");
        deaf.hears(&one.flow);
        assert_eq!(order(&deaf, now), "192.0.2.1192.0.2.3192.0.2.2");
        assert_eq!(order(&deaf, now + SHUNNED), "192.0.2.1192.0.2.2192.0.2.3");
        for port in 1..2_000 {
            deaf.note(now, &path(&format!("192.0.2.9:{port}")));
        }
        assert_eq!(deaf.until.len(), PLACES);
    }
}
