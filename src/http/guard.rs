//! Who may do what: whoever sends a key, as far as its scopes go; and this machine.

use std::{
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts, Query, Request},
    http::{HeaderMap, Uri, header, request::Parts, uri::Authority},
};
use serde::Deserialize;

use super::{AppState, Problem};
use crate::{
    keys::{Bearer, Keys, Purpose, Refusal, Scope, Tickets},
    store::{Key, NewDeed, Stamp},
};

/// Who asks, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// Where the connection comes from.
    pub(super) address: Option<IpAddr>,
    /// Nobody passed it on from elsewhere.
    is_here: bool,
    pub(super) key: Sent,
    /// The key did not come itself, but a ticket that it had made.
    pub(super) by_ticket: bool,
}

/// What may stand in the address of a WebSocket, and the ticket in that of WHIP and of a chat.
#[derive(Deserialize)]
struct Given {
    api_key: Option<String>,
    ticket: Option<String>,
}

/// What was sent to prove it.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Nothing,
    Wrong(Refusal),
    Right(Bearer),
}

impl Asker {
    pub(super) fn of(request: &Request, keys: &Keys) -> Self {
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
        Self::with(address, request.headers(), keys)
    }

    fn with(address: Option<IpAddr>, headers: &HeaderMap, keys: &Keys) -> Self {
        let key = match bearer(headers).map(|given| keys.judge(given, Stamp::now())) {
            None => Sent::Nothing,
            Some(Err(why)) => Sent::Wrong(why),
            Some(Ok(bearer)) => Sent::Right(bearer),
        };
        Self { address, is_here: is_this_machine(address, headers), key, by_ticket: false }
    }

    /// The key that stands in the address, or the ticket, where a client can send no header and sent none: those that open a WebSocket, and
    /// pages that call by WebRTC or chat without a key of their own.
    pub(super) async fn by_address(self, uri: &Uri, (keys, tickets): (&Keys, &Tickets)) -> Self {
        let purpose = match uri.path() {
            "/api/v1/conversation" => Purpose::Conversation,
            "/api/v1/media-stream" => Purpose::MediaStream,
            "/api/v1/webrtc" => Purpose::Webrtc,
            "/api/v1/chat" => Purpose::Chat,
            path if is_supervision(path) => Purpose::Supervision,
            _ => return self,
        };
        let Sent::Nothing = self.key else { return self };
        let Ok(Query(given)) = Query::<Given>::try_from_uri(uri) else { return self };
        let (now, by_ticket) = (Stamp::now(), given.ticket.is_some());
        let key = match given {
            Given { ticket: Some(ticket), .. } => match tickets.redeem(&ticket, purpose, keys, now).await {
                Ok(Some(bearer)) => Sent::Right(bearer),
                Ok(None) => Sent::Nothing,
                Err(why) => Sent::Wrong(why),
            },
            Given { api_key: Some(key), .. } if matches!(purpose, Purpose::Conversation | Purpose::MediaStream) => {
                keys.judge(&key, now).map_or_else(Sent::Wrong, Sent::Right)
            }
            Given { .. } => Sent::Nothing,
        };
        Self { key, by_ticket, ..self }
    }

    /// Whether they may do this as well.
    ///
    /// # Errors
    /// They may not.
    pub(super) fn also<R: Right>(&self, state: &AppState) -> Result<(), Problem> {
        self.may(R::SCOPE, R::HERE_SUFFICES, state.keys.any())
    }

    /// What they are called in the log.
    pub(super) fn name(&self) -> &str {
        match &self.key {
            Sent::Right(bearer) => &bearer.name,
            Sent::Nothing | Sent::Wrong(_) => "this machine",
        }
    }

    /// Why the key that was sent is refused. One that was a key is refused also where no other is left; where there never was one, any may
    /// be sent.
    pub(super) fn refused(&self, any: bool) -> Option<Refusal> {
        match &self.key {
            Sent::Wrong(why) if any || *why != Refusal::Unknown => Some(*why),
            _ => None,
        }
    }

    /// A key that is sent is judged, wherever it comes from; without one, only this machine is let in, and while there are keys
    /// only where `here_suffices`.
    fn may(&self, scope: Scope, here_suffices: bool, any: bool) -> Result<(), Problem> {
        if let Some(why) = self.refused(any) {
            return Err(why.into());
        }
        match &self.key {
            Sent::Right(bearer) if bearer.scopes.allow(scope) => Ok(()),
            Sent::Right(bearer) => Err(Problem::out_of_scope(scope.as_str(), &bearer.scopes.to_string())),
            _ if self.is_here && (here_suffices || !any) => Ok(()),
            _ if any => Err(Problem::unauthorized(
                "this needs a key, that of API_KEY or one of `milo keys create`: send it as `Authorization: Bearer KEY`",
            )),
            _ => Err(Problem::unauthorized(
                "this is shown on Milo's own machine only (http://127.0.0.1) until API_KEY is set there",
            )
            .coded("here_only")),
        }
    }

    /// The key to whose own things it is confined; none for those who may see all.
    pub(super) fn confined_to(&self) -> Option<Key> {
        match &self.key {
            Sent::Right(bearer) if !bearer.scopes.allow(Scope::Admin) => bearer.id,
            _ => None,
        }
    }

    /// What goes into the table of what was done.
    pub(super) fn deed(&self, action: &'static str, target: Option<String>, detail: Option<String>) -> NewDeed {
        let (key, who) = match &self.key {
            Sent::Right(bearer) => (bearer.id, self.name().to_owned()),
            _ => (None, self.name().to_owned()),
        };
        let address = self.address.map(|address| address.to_string());
        NewDeed { at: Stamp::now(), key, who, address, action: action.into(), target, detail }
    }
}

/// What a handler asks of those who call it.
pub(super) trait Right: Send + Sync {
    /// The scope that a key needs.
    const SCOPE: Scope;
    /// Whether this machine needs no key although there are some: where there is a key, being here is not enough for what
    /// costs money or cuts somebody off, since behind a proxy that says nothing of it everybody is here.
    const HERE_SUFFICES: bool = false;
}

/// To read the call log, the metrics, and how things are.
#[derive(Debug)]
pub(super) struct Read;

impl Right for Read {
    const SCOPE: Scope = Scope::Read;
    const HERE_SUFFICES: bool = true;
}

/// To read what names files, trunks and addresses.
#[derive(Debug)]
pub(super) struct ReadWithin;

impl Right for ReadWithin {
    const SCOPE: Scope = Scope::Read;
}

/// To have Milo call, to end calls, to record them, to listen to them and take them over, to send texts.
#[derive(Debug)]
pub(super) struct Call;

impl Right for Call {
    const SCOPE: Scope = Scope::Calls;
}

/// To chat, by text and by voice, to have sound transcribed and words spoken.
#[derive(Debug)]
pub(super) struct Converse;

impl Right for Converse {
    const SCOPE: Scope = Scope::Text;
}

/// To make and end keys, pardon, reload, and see the configuration.
#[derive(Debug)]
pub(super) struct Administer;

impl Right for Administer {
    const SCOPE: Scope = Scope::Admin;
}

/// An extractor: a handler that takes it runs only for those who have the right.
#[derive(Debug)]
pub(super) struct May<R> {
    /// Who has it.
    pub(super) asker: Asker,
    right: PhantomData<R>,
}

impl<R: Right, S: Send + Sync> FromRequestParts<S> for May<R>
where
    AppState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let any = AppState::from_ref(state).keys.any();
        // Every request has passed `pace`, which found out who asks.
        let asker = parts.extensions.get::<Asker>().cloned();
        let asker = asker.ok_or_else(|| Problem::unavailable("nobody knows who asks; try again in a moment"))?;
        asker.may(R::SCOPE, R::HERE_SUFFICES, any).map(|()| Self { asker, right: PhantomData })
    }
}

/// Whether this is where somebody listens to a call, or takes it over.
fn is_supervision(path: &str) -> bool {
    let of_call = path.strip_prefix("/api/v1/calls/").and_then(|rest| rest.split_once('/'));
    of_call.is_some_and(|(_, what)| matches!(what, "audio" | "takeover"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    // What is no text is no key, and was sent as one.
    let Ok(sent) = headers.get(header::AUTHORIZATION)?.to_str() else { return Some("") };
    let (scheme, key) = sent.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// A loopback connection that nobody passed on, to a loopback name: behind a proxy everyone seems to be here, and a web page
/// that gives its own name this machine's address (DNS rebinding) would read the log through the visitor's browser.
fn is_this_machine(peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let here = peer.is_some_and(|ip| ip.to_canonical().is_loopback()) && names_this_machine(host);
    here && !passed_on && !is_foreign_page(headers)
}

/// Whether a host, with a port or without (RFC 3986 section 3.2), is this machine by a name that is nobody else's.
fn names_this_machine(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A page from elsewhere makes the browser of this machine ask; browsers say so (Fetch Metadata, Fetch Standard section 3.1).
fn is_foreign_page(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = |origin: &str| !names_this_machine(origin.split_once("://").map_or("", |(_, authority)| authority));
    said("sec-fetch-site") == Some("cross-site") || said("origin").is_some_and(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Secret, SecretUrl},
        keys::{NewKey, Tier},
        store::{Key, Store},
    };

    const LOCAL: (&str, &str) = ("host", "127.0.0.1:8000");

    struct House {
        keys: Keys,
        folder: std::path::PathBuf,
    }

    impl House {
        async fn new(key: Option<&str>) -> Self {
            let folder = std::env::temp_dir().join(format!("milo-guard-{}", Key::new()));
            let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
            Self { keys: Keys::open(&store, key.map(Secret::new).as_ref(), None).await.unwrap(), folder }
        }

        async fn key(&self, scopes: &str) -> String {
            let new = NewKey { name: "k".into(), scopes: scopes.parse().unwrap(), tier: Tier::Free, expires: None };
            format!("Bearer {}", self.keys.create(new, Stamp::now()).await.unwrap().1.reveal())
        }

        fn may<R: Right>(&self, peer: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let peer: IpAddr = peer.parse().unwrap();
            let asker = Asker::with(Some(peer.to_canonical()), &map, &self.keys);
            asker.may(R::SCOPE, R::HERE_SUFFICES, self.keys.any()).map_err(|problem| problem.status())
        }
    }

    impl Drop for House {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.folder).ok();
        }
    }

    #[test]
    fn a_ticket_for_supervision_opens_a_calls_sound_and_nothing_else_of_it() {
        let of_call = |what: &str| is_supervision(&format!("/api/v1/calls/01890000-0000-7000-8000-000000000000{what}"));
        assert!(of_call("/audio") && of_call("/takeover"));
        assert!(!["", "/", "/agent", "/audio/more", "/more/audio"].iter().any(|what| of_call(what)));
        assert!(!is_supervision("/api/v1/messages/audio"));
    }

    #[tokio::test]
    async fn this_machine_needs_no_key_and_others_do() {
        let (open, kept) = (House::new(None).await, House::new(Some("0123456789abcdef")).await);
        assert_eq!(open.may::<Read>("127.0.0.1", &[LOCAL]), Ok(()));
        assert_eq!(open.may::<Administer>("127.0.0.1", &[LOCAL]), Ok(()));
        assert_eq!(
            open.may::<Read>("127.0.0.1", &[LOCAL, ("authorization", "Bearer any")]),
            Ok(()),
            "there is none to be wrong"
        );
        for host in ["[::1]:8000", "[::1]"] {
            assert_eq!(open.may::<Read>("::1", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["[::1", "::1]", "127.0.0.1.example", "[2001:db8::1]", "localhost.example:8000"] {
            assert_eq!(open.may::<Read>("::1", &[("host", host)]), Err(401), "{host}");
        }
        assert_eq!(open.may::<Read>("::1", &[LOCAL, ("origin", "http://[::1]")]), Ok(()));
        assert_eq!(kept.may::<Read>("::ffff:127.0.0.1", &[("host", "localhost:8000")]), Ok(()));
        // Where there is a key, being here is not enough.
        assert_eq!(kept.may::<Call>("127.0.0.1", &[LOCAL]), Err(401));
        assert_eq!(kept.may::<Converse>("127.0.0.1", &[LOCAL]), Err(401));
        assert_eq!(kept.may::<Administer>("127.0.0.1", &[LOCAL]), Err(401));
        assert_eq!(kept.may::<ReadWithin>("127.0.0.1", &[LOCAL]), Err(401));
        assert_eq!(open.may::<Read>("127.0.0.1", &[LOCAL, ("origin", "http://127.0.0.1:8000")]), Ok(()));
        assert_eq!(open.may::<Read>("127.0.0.1", &[LOCAL, ("origin", "http://localhost:8000")]), Ok(()));
        for page in [("origin", "https://elsewhere.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert_eq!(open.may::<Read>("127.0.0.1", &[LOCAL, page]), Err(401), "{page:?}");
        }
        assert_eq!(open.may::<Read>("192.0.2.1", &[LOCAL]), Err(401));
        assert_eq!(kept.may::<Read>("192.0.2.1", &[LOCAL]), Err(401));
        assert_eq!(kept.may::<Read>("192.0.2.1", &[LOCAL, ("authorization", "Bearer 0123456789abcdef")]), Ok(()));
        assert_eq!(kept.may::<Administer>("192.0.2.1", &[LOCAL, ("authorization", "bearer 0123456789abcdef")]), Ok(()));
        for wrong in [
            "Bearer 0123456789abcdeX",
            "Bearer 0123456789abcde",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "Bearer ",
        ] {
            assert_eq!(kept.may::<Read>("192.0.2.1", &[LOCAL, ("authorization", wrong)]), Err(401), "{wrong}");
        }
        let wrong = [LOCAL, ("authorization", "Bearer wrong")];
        assert_eq!(kept.may::<Read>("127.0.0.1", &wrong), Err(401), "a wrong key is never right");
    }

    #[tokio::test]
    async fn a_key_that_nobody_knows_is_refused_only_where_there_are_keys() {
        let (open, kept) = (House::new(None).await, House::new(Some("0123456789abcdef")).await);
        let refused = |house: &House| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, "Bearer any".parse().unwrap());
            Asker::with(None, &headers, &house.keys).refused(house.keys.any())
        };
        assert_eq!((refused(&open), refused(&kept)), (None, Some(Refusal::Unknown)));
    }

    #[tokio::test]
    async fn a_key_does_what_its_scopes_say() {
        let house = House::new(None).await;
        let (reads, calls, writes, all) =
            (house.key("read").await, house.key("calls").await, house.key("text").await, house.key("admin").await);
        let may = |key: &str| {
            let headers = [LOCAL, ("authorization", key)];
            [
                house.may::<Read>("192.0.2.1", &headers),
                house.may::<Call>("192.0.2.1", &headers),
                house.may::<Converse>("192.0.2.1", &headers),
                house.may::<Administer>("192.0.2.1", &headers),
            ]
        };
        let no = Err(403);
        assert_eq!(may(&reads), [Ok(()), no, no, no]);
        assert_eq!(may(&calls), [no, Ok(()), no, no]);
        assert_eq!(may(&writes), [no, no, Ok(()), no]);
        assert_eq!(may(&all), [Ok(()); 4]);
        assert_eq!(house.may::<Administer>("127.0.0.1", &[LOCAL]), Err(401), "keys of the table are keys");
    }

    #[tokio::test]
    async fn whoever_administers_is_confined_to_nothing() {
        let house = House::new(None).await;
        let (writes, all) = (house.key("text").await, house.key("text admin").await);
        let confined = |key: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, key.parse().unwrap());
            Asker::with(None, &headers, &house.keys).confined_to()
        };
        let of = house.keys.list().await.unwrap().into_iter().find(|row| row.scopes == "text").unwrap().id;
        assert_eq!((confined(&writes), confined(&all)), (Some(of), None));
    }

    #[tokio::test]
    async fn the_last_key_is_refused_once_it_is_revoked() {
        let house = House::new(None).await;
        let key = house.key("read").await;
        let id = house.keys.list().await.unwrap()[0].id;
        assert!(house.keys.revoke(id, Stamp::now()).await.unwrap());
        assert_eq!(house.may::<Read>("127.0.0.1", &[LOCAL, ("authorization", &key)]), Err(401));
        assert_eq!(house.may::<Read>("127.0.0.1", &[LOCAL]), Ok(()), "there is no key any more");
    }

    #[tokio::test]
    async fn what_only_seems_to_come_from_here_is_refused() {
        let open = House::new(None).await;
        assert_eq!(open.may::<Read>("127.0.0.1", &[LOCAL, ("x-forwarded-for", "192.0.2.1")]), Err(401), "a proxy");
        assert_eq!(open.may::<Read>("127.0.0.1", &[("host", "evil.example:8000")]), Err(401), "DNS rebinding");
        assert_eq!(open.may::<Read>("127.0.0.1", &[("host", "127.0.0.1.evil.example")]), Err(401));
        assert_eq!(open.may::<Read>("127.0.0.1", &[]), Err(401));
    }
}
