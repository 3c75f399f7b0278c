//! The DTLS handshake that gives a leg its SRTP keys (RFC 5763, RFC 5764): DTLS 1.2 of the crate `rtc-dtls`, behind this file.
//! Time is an argument; datagrams come in and go out as bytes.
//!
//! Whoever sends a ClientHello to the port may try, within the bounds of `admission.rs`: only the peer whose certificate has
//! the fingerprint of the SDP gets through, and the others leave nothing behind.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use rtc_dtls::{
    endpoint::{Endpoint, EndpointEvent},
    extension::extension_use_srtp::SrtpProtectionProfile,
};

use super::{Fingerprint, Identity, KEY, MasterKey, Suite, admission::Admission};

/// A flight without an answer is sent again after this long, then after twice as long.
pub(super) const FLIGHT: Duration = Duration::from_millis(500);
/// A leg without keys after this long ends.
const LIMIT: Duration = Duration::from_secs(15);
/// The label of RFC 5764 section 4.2.
const LABEL: &str = "EXTRACTOR-dtls_srtp";

/// Who begins the handshake (`a=setup`, RFC 4145 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We do: the DTLS client.
    Active,
    /// The peer does.
    Passive,
}

/// What a handshake has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not yet.
    Underway,
    /// The keys, and the address that has proved to be the peer's.
    Keys {
        /// For what we send.
        ours: MasterKey,
        /// For what the peer sends.
        theirs: MasterKey,
        /// Where it is.
        at: SocketAddr,
    },
    /// Somebody tried who is not the peer.
    Stranger,
    /// There will be no keys; the sentence says why.
    Failed(String),
}

/// One leg's handshake. Stays when it is over, since the peer may not have heard our last flight.
pub(super) struct Handshake {
    identity: Arc<Identity>,
    role: Role,
    fingerprints: Vec<Fingerprint>,
    endpoint: Endpoint,
    /// Who tries, and the one that got through.
    admission: Admission,
    peer: Option<SocketAddr>,
    began: Option<Instant>,
    /// When we, who begin, begin anew: what ended an attempt may have been anybody's forgery.
    anew: Option<Instant>,
    trouble: Option<String>,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("role", &self.role).field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Handshake {
    pub(super) fn new(
        identity: &Arc<Identity>,
        role: Role,
        fingerprints: &[Fingerprint],
        advertised: SocketAddr,
        signalling: Option<IpAddr>,
    ) -> Self {
        // The library keys its associations by two addresses, of which it uses the remote one.
        let endpoint = Endpoint::new(SocketAddr::from(([0, 0, 0, 0], 0)), Default::default(), None);
        Self {
            identity: identity.clone(),
            role,
            fingerprints: fingerprints.to_vec(),
            endpoint,
            admission: Admission::new(advertised, signalling),
            peer: None,
            began: None,
            anew: None,
            trouble: None,
        }
    }

    pub(super) fn is_for(&self, identity: &Arc<Identity>, fingerprints: &[Fingerprint]) -> bool {
        self.identity == *identity && self.fingerprints == fingerprints
    }

    /// The SDP names another address. A handshake that is over stays what it is.
    pub(super) fn advertise(&mut self, advertised: SocketAddr, signalling: Option<IpAddr>) {
        if !self.admission.is_for(advertised, signalling) && self.peer.is_none() {
            *self = Self::new(&self.identity, self.role, &self.fingerprints, advertised, signalling);
        }
    }

    /// A DTLS datagram came from there.
    pub(super) fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) -> Progress {
        match self.peer {
            Some(peer) if peer != from => return Progress::Stranger,
            Some(_) => {
                // Its last flight once more, which is answered by ours, or its farewell, which SIP says better.
                let _ = self.endpoint.read(now, from, None, datagram.into());
                return Progress::Underway;
            }
            None => {}
        }
        if let Err(why) = self.begin(now) {
            return Progress::Failed(why);
        }
        if !is_records(datagram) {
            return Progress::Stranger;
        }
        if let Some(record) = said_in_clear(datagram) {
            // A peer that gives up is given the whole time to think again; so is one in whose name somebody else does.
            if record.content_type == ALERT && from == self.admission.advertised() {
                let alert = record.description;
                self.trouble =
                    Some(format!("the peer broke the DTLS handshake off (alert {alert}, RFC 5246 section 7.2)"));
            }
            return Progress::Stranger;
        }
        let may_open = self.role == Role::Passive && is_client_hello(datagram);
        let admitted = self.admission.admit(from, may_open, now);
        if let Some(outdone) = admitted.outdone {
            self.endpoint.stop(now, outdone);
        }
        if !admitted.is_read {
            return Progress::Stranger;
        }
        match self.endpoint.read(now, from, None, datagram.into()) {
            Ok(events) if events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete)) => {
                self.completed(from, now)
            }
            Ok(_) => Progress::Underway,
            Err(error) => self.abandon(from, now, format!("the DTLS handshake failed: {error}")),
        }
    }

    /// 20 ms have passed.
    pub(super) fn tick(&mut self, now: Instant) -> Progress {
        if self.peer.is_some() {
            return Progress::Underway;
        }
        if let Err(why) = self.begin(now) {
            return Progress::Failed(why);
        }
        for remote in self.admission.remotes() {
            let due = self.endpoint.poll_timeout(&remote).is_some_and(|due| now >= due);
            if due && let Err(error) = self.endpoint.handle_timeout(remote, now) {
                self.abandon(remote, now, format!("the DTLS handshake failed: {error}"));
            }
        }
        if self.anew.is_some_and(|due| now >= due) {
            self.anew = None;
            if let Err(why) = self.connect(now) {
                return Progress::Failed(why);
            }
        }
        if self.began.is_some_and(|began| now.saturating_duration_since(began) >= LIMIT) {
            let why = self.trouble.take();
            return Progress::Failed(why.unwrap_or_else(|| {
                format!("no DTLS handshake within {} s, so there are no SRTP keys", LIMIT.as_secs())
            }));
        }
        Progress::Underway
    }

    /// Datagrams that are due.
    pub(super) fn outgoing(&mut self, mut send: impl FnMut(&[u8], SocketAddr)) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            send(&transmit.message, transmit.transport.peer_addr);
        }
    }

    fn begin(&mut self, now: Instant) -> Result<(), String> {
        if self.began.is_some() {
            return Ok(());
        }
        self.began = Some(now);
        match self.role {
            Role::Passive => self.endpoint.set_server_config(Some(self.identity.config(self.role)?)),
            Role::Active => self.connect(now)?,
        }
        Ok(())
    }

    /// Sends our ClientHello to the address of the SDP.
    fn connect(&mut self, now: Instant) -> Result<(), String> {
        let (config, advertised) = (self.identity.config(self.role)?, self.admission.advertised());
        self.endpoint.connect(now, advertised, config, None).map_err(|error| error.to_string())?;
        self.admission.admit(advertised, true, now);
        Ok(())
    }

    /// The handshake with this one is over: is it the peer?
    fn completed(&mut self, from: SocketAddr, now: Instant) -> Progress {
        let Some(state) = self.endpoint.get_connection_state(from) else { return Progress::Underway };
        let is_peer = state
            .peer_certificates
            .first()
            .is_some_and(|leaf| self.fingerprints.iter().any(|fingerprint| fingerprint.is_of(leaf)));
        if !is_peer {
            let why = "the certificate of the DTLS handshake has not the fingerprint that the SDP names";
            return self.refuse(from, now, why.to_owned());
        }
        let suite = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Suite::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Suite::AesCm128HmacSha1_80,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32 => Suite::AesCm128HmacSha1_32,
            _ => return self.refuse(from, now, "the peer's DTLS offers no SRTP profile of ours".to_owned()),
        };
        let exported = state.export_keying_material(LABEL, &[], 2 * suite.key_and_salt());
        let exported = match &exported {
            Ok(exported) => exported.as_ref(),
            Err(error) => return Progress::Failed(format!("the DTLS handshake gives no SRTP keys: {error}")),
        };
        // RFC 5764 section 4.2: both keys, then both salts, the client's first.
        let (keys, salts) = exported.split_at(2 * KEY);
        let master = |keys: &[u8], salts: &[u8]| MasterKey::new(suite, &[keys, salts].concat());
        let (client_salt, server_salt) = salts.split_at(suite.salt());
        let (client, server) = (master(&keys[..KEY], client_salt), master(&keys[KEY..], server_salt));
        let (Some(client), Some(server)) = (client, server) else { return Progress::Underway };
        self.peer = Some(from);
        for other in self.admission.close().into_iter().filter(|other| *other != from) {
            self.endpoint.stop(now, other);
        }
        let (ours, theirs) = if self.role == Role::Active { (client, server) } else { (server, client) };
        Progress::Keys { ours, theirs, at: from }
    }

    /// This one has shown what it is, and that is not the peer. At the address of the SDP there will be no other.
    fn refuse(&mut self, from: SocketAddr, now: Instant, why: String) -> Progress {
        let progress = self.abandon(from, now, why.clone());
        if from == self.admission.advertised() { Progress::Failed(why) } else { progress }
    }

    /// The attempt of this one came to nothing, which whoever can send in its name may have brought about: another may follow.
    fn abandon(&mut self, from: SocketAddr, now: Instant, why: String) -> Progress {
        self.endpoint.stop(now, from);
        self.admission.dismiss(from);
        if self.role == Role::Active && from == self.admission.advertised() {
            self.anew = Some(now + FLIGHT);
        }
        self.trouble = Some(why);
        Progress::Stranger
    }
}

/// Content types of records (RFC 5246 section 6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;

/// A record that anybody can write, and for which the library would end the handshake.
struct InClear {
    content_type: u8,
    /// Of an alert.
    description: u8,
}

/// The first record of epoch 0 in a datagram that is an alert, application data, or a change of ciphers without its one byte.
/// RFC 6347 section 4.1.2.7 lets it be discarded.
fn said_in_clear(mut datagram: &[u8]) -> Option<InClear> {
    while let Some((header, rest)) = datagram.split_at_checked(13) {
        let (body, next) = rest.split_at_checked(usize::from(u16::from_be_bytes([header[11], header[12]])))?;
        let is_forged = match header[0] {
            CHANGE_CIPHER_SPEC => body != [1],
            content_type => matches!(content_type, ALERT | APPLICATION_DATA),
        };
        if is_forged && header[3..5] == [0, 0] {
            return Some(InClear { content_type: header[0], description: body.get(1).copied().unwrap_or_default() });
        }
        datagram = next;
    }
    None
}

/// Whether a datagram is made of DTLS records (RFC 6347 section 4.1). What is not may be anybody's noise.
fn is_records(mut datagram: &[u8]) -> bool {
    let mut records = 0;
    while let Some((header, rest)) = datagram.split_at_checked(13) {
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        if !(20..=23).contains(&header[0]) || header[1] != 0xfe || length > rest.len() {
            return false;
        }
        datagram = &rest[length..];
        records += 1;
    }
    records > 0 && datagram.is_empty()
}

/// A handshake record of epoch 0 with a ClientHello: the only thing that may open an association.
fn is_client_hello(datagram: &[u8]) -> bool {
    datagram.len() > 25 && datagram[0] == 22 && datagram[3..5] == [0, 0] && datagram[13] == 1
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::leg::now;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// The active side is at port 1, the passive one at port 2.
    fn pair(active: &Arc<Identity>, passive: &Arc<Identity>) -> (Handshake, Handshake) {
        (
            Handshake::new(active, Role::Active, from_ref(passive.fingerprint()), at(2), None),
            Handshake::new(passive, Role::Passive, from_ref(active.fingerprint()), at(1), None),
        )
    }

    /// Runs both for so many ticks; datagrams for which `lost` says so do not arrive. What each has come to, when.
    fn run(
        (active, passive): (&mut Handshake, &mut Handshake),
        ticks: u32,
        mut lost: impl FnMut(usize) -> bool,
    ) -> (Vec<Progress>, Duration) {
        let start = now();
        let (mut progress, mut last, mut count) = (Vec::new(), Duration::ZERO, 0);
        for tick in 0..ticks {
            let now = start + tick * Duration::from_millis(20);
            let before = progress.len();
            progress.extend([active.tick(now), passive.tick(now)]);
            for _ in 0..8 {
                let (mut there, mut back) = (Vec::new(), Vec::new());
                active.outgoing(|bytes, to| there.push((bytes.to_vec(), to)));
                passive.outgoing(|bytes, to| back.push((bytes.to_vec(), to)));
                for (bytes, to) in there {
                    count += 1;
                    if to == at(2) && !lost(count) {
                        progress.push(passive.receive(&bytes, at(1), now));
                    }
                }
                for (bytes, to) in back {
                    count += 1;
                    if to == at(1) && !lost(count) {
                        progress.push(active.receive(&bytes, at(2), now));
                    }
                }
            }
            progress.retain(|progress| *progress != Progress::Underway);
            if progress.len() > before {
                last = now - start;
            }
        }
        (progress, last)
    }

    fn keys(progress: &[Progress]) -> Vec<(&MasterKey, &MasterKey)> {
        let keys = progress.iter().filter_map(|progress| match progress {
            Progress::Keys { ours, theirs, .. } => Some((ours, theirs)),
            _ => None,
        });
        keys.collect()
    }

    #[test]
    fn both_sides_come_to_the_same_keys() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (mut active, mut passive) = pair(&one, &other);
        let (progress, after) = run((&mut active, &mut passive), 3, |_| false);
        let keys = keys(&progress);
        assert_eq!(keys.len(), 2, "{progress:?}");
        assert_eq!(keys[0], (keys[1].1, keys[1].0));
        assert_ne!(keys[0].0, keys[0].1);
        assert_eq!(keys[0].0.suite(), Suite::AeadAes128Gcm);
        assert!(after <= Duration::from_millis(20), "{after:?}");
        assert!(!format!("{progress:?} {active:?}").contains("key: ["));
    }

    #[test]
    #[ignore = "it measures: cargo test --release -p milo-media -- --ignored --nocapture srtp_costs"]
    fn srtp_costs_so_much_a_handshake() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let begun = now();
        for _ in 0..100 {
            let (mut active, mut passive) = pair(&one, &other);
            assert_eq!(keys(&run((&mut active, &mut passive), 2, |_| false).0).len(), 2);
        }
        println!("a handshake, both sides: {:.2} ms", begun.elapsed().as_secs_f64() * 10.0);
    }

    #[test]
    fn lost_flights_are_sent_again() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        for missing in 1..=7 {
            let (mut active, mut passive) = pair(&one, &other);
            let (progress, after) = run((&mut active, &mut passive), 200, |count| count == missing);
            assert_eq!(keys(&progress).len(), 2, "without datagram {missing}: {progress:?}");
            assert!(after <= Duration::from_millis(1600), "without datagram {missing}: {after:?}");
        }
    }

    #[test]
    fn another_certificate_ends_the_attempt_and_says_so() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (mut active, _) = pair(&one, &other);
        let mut passive = Handshake::new(&other, Role::Passive, from_ref(other.fingerprint()), at(1), None);
        let (progress, _) = run((&mut active, &mut passive), 3, |_| false);
        assert!(
            progress.iter().any(|p| matches!(p, Progress::Failed(why) if why.contains("fingerprint"))),
            "{progress:?}"
        );
        // The same from an address that the SDP does not name: the peer may still come.
        let (mut active, _) = pair(&one, &other);
        let mut passive = Handshake::new(&other, Role::Passive, from_ref(other.fingerprint()), at(9), None);
        let (progress, _) = run((&mut active, &mut passive), 3, |_| false);
        assert!(progress.contains(&Progress::Stranger), "{progress:?}");
        assert!(!progress.iter().any(|progress| matches!(progress, Progress::Failed(_))), "{progress:?}");
        assert!(passive.peer.is_none());
        // It has used up what one source may send.
        let mut hello = Vec::new();
        let (mut again, _) = pair(&one, &other);
        again.tick(now());
        again.outgoing(|bytes, _| hello = bytes.to_vec());
        assert!(!passive.admission.admit(at(1), is_client_hello(&hello), now()).is_read);
    }

    #[test]
    fn what_anybody_can_forge_does_not_end_the_handshake() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let start = now();
        // A fatal alert, application data and a change of ciphers of no known length, all of epoch 0.
        let forged: [&[u8]; 3] = [
            &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40],
            &[23, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40],
            &[20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 7, 7, 7],
        ];
        for forged in forged {
            let (mut active, mut passive) = pair(&one, &other);
            assert_eq!((active.tick(start), passive.tick(start)), (Progress::Underway, Progress::Underway));
            assert!(!matches!(active.receive(forged, at(2), start), Progress::Failed(_)), "{forged:?}");
            assert!(!matches!(passive.receive(forged, at(1), start), Progress::Failed(_)), "{forged:?}");
            let (progress, after) = run((&mut active, &mut passive), 200, |_| false);
            assert_eq!(keys(&progress).len(), 2, "{forged:?}: {progress:?}");
            assert!(after <= Duration::from_millis(1600), "{forged:?}: {after:?}");
        }
        // A peer that means it is believed when the time is over.
        let (mut active, _) = pair(&one, &other);
        active.tick(start);
        active.receive(forged[0], at(2), start);
        let Progress::Failed(why) = active.tick(start + LIMIT) else { panic!("no keys, and no failure") };
        assert!(why.contains("alert 40"), "{why}");
    }

    #[test]
    fn nobody_there_is_a_failure_after_a_while() {
        let one = Identity::generate().unwrap();
        let start = now();
        for role in [Role::Active, Role::Passive] {
            let mut handshake = Handshake::new(&one, role, from_ref(one.fingerprint()), at(2), None);
            let mut sent = 0;
            let failed = (0..2000).map(|tick| start + tick * Duration::from_millis(20)).find_map(|now| {
                let progress = handshake.tick(now);
                handshake.outgoing(|_, _| sent += 1);
                matches!(progress, Progress::Failed(_)).then_some(now - start)
            });
            assert!(failed.is_some_and(|after| after <= LIMIT), "{role:?}: {failed:?}");
            assert_eq!(sent > 3, role == Role::Active, "{role:?}: {sent} datagrams sent");
        }
    }

    #[test]
    fn noise_leaves_no_trace_and_does_not_disturb() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (mut active, mut passive) = pair(&one, &other);
        let start = now();
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        let mut hello = Vec::new();
        active.tick(start);
        active.outgoing(|bytes, _| hello = bytes.to_vec());
        for n in 0..5000 {
            let mut noise: Vec<u8> = if n % 2 == 0 { (0..60).map(|_| random()).collect() } else { hello.clone() };
            for _ in 0..3 {
                let place = usize::from(random()) % noise.len();
                noise[place] = random();
            }
            noise[0] = 20 + noise[0] % 44;
            let from = at(10 + n % 50);
            assert!(!matches!(passive.receive(&noise, from, start), Progress::Keys { .. } | Progress::Failed(_)));
        }
        assert!(passive.admission.remotes().len() <= 9);
        // The peer's own hello comes again, and is taken by the very one that took the noise.
        let (progress, _) = run((&mut active, &mut passive), 400, |_| false);
        assert_eq!(keys(&progress).len(), 2);
    }

    #[test]
    fn strangers_do_not_keep_a_caller_behind_a_nat_from_its_keys() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (mut active, _) = pair(&one, &other);
        // The SDP names an address that nobody sees; the signalling comes from where the caller does.
        let private = SocketAddr::from(([192, 168, 1, 7], 4000));
        let fingerprint = one.fingerprint();
        let mut passive = Handshake::new(&other, Role::Passive, from_ref(fingerprint), private, Some(at(1).ip()));
        let start = now();
        let mut hello = Vec::new();
        active.tick(start);
        active.outgoing(|bytes, _| hello = bytes.to_vec());
        for n in 0..2_000u16 {
            let foreign = SocketAddr::from(([198, 51, 100, (n % 50) as u8], 7000));
            assert!(!matches!(passive.receive(&hello, foreign, start), Progress::Failed(_)));
        }
        assert_eq!(passive.admission.remotes().len(), 4, "what strangers can hold is bounded");
        let (progress, after) = run((&mut active, &mut passive), 400, |_| false);
        assert_eq!(keys(&progress).len(), 2, "{progress:?}");
        assert!(after <= Duration::from_secs(1), "{after:?}");
    }
}
