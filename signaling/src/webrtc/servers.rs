//! The STUN and TURN servers that connections may use, and credentials for them that hold for a time: user names with their own end,
//! and passwords made from them by a secret that coturn shares (`use-auth-secret`; draft-uberti-behave-turn-rest-00).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use rtc::peer_connection::transport::RTCIceServer;
use sha1::Sha1;

/// The servers that help a connection through NATs.
#[derive(Clone, Default)]
pub struct IceServers {
    /// `stun:host[:port]` (RFC 7064).
    pub stun: Vec<String>,
    /// `turn:host[:port][?transport=udp|tcp]` or `turns:…` (RFC 7065).
    pub turn: Vec<String>,
    /// What coturn has as its `static-auth-secret`; without it TURN servers are of no use.
    pub secret: Option<String>,
    /// How long a credential holds.
    pub lasts: Duration,
}

impl std::fmt::Debug for IceServers {
    /// The secret is for coturn alone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServers").field("stun", &self.stun).field("turn", &self.turn).finish_non_exhaustive()
    }
}

/// A user name with its end in it, and its password.
struct Grant {
    username: String,
    password: String,
}

impl IceServers {
    /// The values of the `Link` fields that tell a browser of them (RFC 9725 section 4.4), for whoever `name` is.
    pub fn links(&self, name: &str, now: Duration) -> Vec<String> {
        let stun = self.stun.iter().map(|url| format!("<{url}>; rel=\"ice-server\""));
        let grant = self.grant(name, now);
        let turn = self.turn.iter().zip(std::iter::repeat(grant.as_ref())).filter_map(|(url, grant)| {
            let Grant { username, password } = grant?;
            Some(format!(
                "<{url}>; rel=\"ice-server\"; username=\"{username}\"; credential=\"{password}\"; credential-type=\"password\""
            ))
        });
        stun.chain(turn).collect()
    }

    /// The same for our own end.
    pub(super) fn ours(&self, name: &str, now: Duration) -> Vec<RTCIceServer> {
        let stun = self.stun.iter().map(|url| RTCIceServer { urls: vec![url.clone()], ..RTCIceServer::default() });
        let turn = self.grant(name, now).filter(|_| !self.turn.is_empty()).map(|Grant { username, password }| {
            RTCIceServer { urls: self.turn.clone(), username, credential: password }
        });
        stun.chain(turn).collect()
    }

    fn grant(&self, name: &str, now: Duration) -> Option<Grant> {
        let secret = self.secret.as_deref()?;
        let username = format!("{}:{name}", (now + self.lasts).as_secs());
        let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).ok()?;
        mac.update(username.as_bytes());
        let password = STANDARD.encode(mac.finalize().into_bytes());
        Some(Grant { username, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_that_coturn_computes() {
        let servers = IceServers {
            stun: vec!["stun:stun.example:3478".into()],
            turn: vec!["turn:turn.example?transport=udp".into(), "turns:turn.example:5349?transport=tcp".into()],
            secret: Some("north".into()),
            lasts: Duration::from_secs(3_600),
        };
        let links = servers.links("milo", Duration::from_secs(1_700_000_000));
        assert_eq!(links.len(), 3);
        assert_eq!(links[0], "<stun:stun.example:3478>; rel=\"ice-server\"");
        // printf 1700003600:milo | openssl dgst -sha1 -hmac north -binary | base64
        let password = "VA9tltxStC6tFlUIJE8MNDZpBbU=";
        assert_eq!(
            links[1],
            format!(
                "<turn:turn.example?transport=udp>; rel=\"ice-server\"; username=\"1700003600:milo\"; \
                 credential=\"{password}\"; credential-type=\"password\""
            )
        );
        let ours = servers.ours("milo", Duration::from_secs(1_700_000_000));
        assert_eq!((ours.len(), &*ours[1].credential, ours[1].urls.len()), (2, password, 2));
        assert!(!format!("{servers:?}").contains("north"));
    }

    #[test]
    fn without_a_secret_nobody_is_sent_to_turn() {
        let servers = IceServers { turn: vec!["turn:turn.example".into()], ..IceServers::default() };
        assert!(servers.links("milo", Duration::ZERO).is_empty() && servers.ours("milo", Duration::ZERO).is_empty());
    }
}
