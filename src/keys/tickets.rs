//! Tickets: for a minute at most, once, and for one thing, whoever has one is taken for the key that had it made. A page can so open a
//! WebSocket, whose address may stand in logs, without anybody's key in it.
//!
//! With Redis a ticket that one node made opens every node, and still once; while Redis is away it opens the node that made it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    Bearer, Keys, Refusal,
    secret::{Digest, digest, random},
};
use crate::{
    config::Secret,
    redis::Redis,
    store::{Key, Stamp},
};

/// The longest that a ticket is good.
pub const LONGEST: Duration = Duration::from_secs(60);
/// Tickets that are good at once, on one node.
const MOST: usize = 10_000;

/// What a ticket is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// `GET /api/v1/conversation`.
    #[default]
    Conversation,
    /// `GET /api/v1/media-stream`.
    MediaStream,
    /// `POST /api/v1/webrtc`.
    Webrtc,
    /// `POST /api/v1/chat`.
    Chat,
    /// `GET /api/v1/calls/{id}/audio` and `GET /api/v1/calls/{id}/takeover`.
    Supervision,
}

/// For whom it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Holder {
    /// A key of the table.
    Key(Key),
    /// `API_KEY`.
    Environment,
    /// This machine, while there was no key.
    Here,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ticket {
    holder: Holder,
    purpose: Purpose,
    until: Stamp,
}

/// The tickets that are good.
#[derive(Debug)]
pub struct Tickets {
    /// By the hash of each. The lock is taken as one is made, and as one is used; never over a wait.
    made: Mutex<HashMap<Digest, Ticket>>,
    redis: Option<Redis>,
}

impl Tickets {
    /// With Redis, those of all nodes.
    pub fn new(redis: Option<Redis>) -> Self {
        Self { made: Mutex::default(), redis }
    }

    /// Makes one that is good until then, for whoever sent this key; none: for this machine. `None`: too many are good at once.
    pub async fn make(&self, bearer: Option<&Bearer>, purpose: Purpose, until: Stamp, now: Stamp) -> Option<Secret> {
        let secret = Secret::new(format!("ticket_{}", URL_SAFE_NO_PAD.encode(random())));
        let holder = match bearer.map(|bearer| bearer.id) {
            Some(Some(id)) => Holder::Key(id),
            Some(None) => Holder::Environment,
            None => Holder::Here,
        };
        let (name, ticket) = (digest(secret.reveal()), Ticket { holder, purpose, until });
        let lifetime = Duration::from_millis(u64::try_from(until.millis() - now.millis()).unwrap_or_default());
        if let Some(redis) = &self.redis
            && let Ok(value) = serde_json::to_string(&ticket)
            && redis.keep_ticket(&URL_SAFE_NO_PAD.encode(name), &value, lifetime).await
        {
            return Some(secret);
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MOST {
            made.retain(|_, ticket| ticket.until > now);
        }
        (made.len() < MOST).then(|| {
            made.insert(name, ticket);
            secret
        })
    }

    /// Uses one: from now on it is good for nothing. Whose it is; nobody's, where this machine had it made without a key.
    ///
    /// # Errors
    /// It is none, was used, is over, or is for something else; or its key is none any more.
    pub async fn redeem(
        &self,
        given: &str,
        purpose: Purpose,
        keys: &Keys,
        now: Stamp,
    ) -> Result<Option<Bearer>, Refusal> {
        let name = digest(given);
        let here = self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let ticket = match (here, &self.redis) {
            (Some(ticket), _) => Some(ticket),
            (None, Some(redis)) => {
                let value = redis.take_ticket(&URL_SAFE_NO_PAD.encode(name)).await;
                value.and_then(|value| serde_json::from_str(&value).ok())
            }
            (None, None) => None,
        };
        let ticket = ticket.filter(|ticket| ticket.until > now && ticket.purpose == purpose).ok_or(Refusal::Ticket)?;
        match ticket.holder {
            Holder::Key(id) => keys.bearer(id, now).map(Some),
            Holder::Environment => keys.environment().map(Some).ok_or(Refusal::Ticket),
            Holder::Here => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::SecretUrl,
        keys::{NewKey, Tier},
        store::Store,
    };

    #[tokio::test]
    async fn a_ticket_is_its_keys_once_for_one_thing_and_not_for_long() {
        let folder = std::env::temp_dir().join(format!("milo-tickets-{}", Key::new()));
        let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
        let keys = Keys::open(&store, Some(&Secret::new("0123456789abcdef")), None).await.unwrap();
        let at = |seconds: i64| Stamp::from_millis(1_800_000_000_000 + seconds * 1_000);
        let new = NewKey { name: "page".into(), scopes: "text".parse().unwrap(), tier: Tier::Free, expires: None };
        let (row, secret) = keys.create(new, at(0)).await.unwrap();
        let bearer = keys.judge(secret.reveal(), at(0)).unwrap();
        let tickets = Tickets::new(None);
        let make = async |bearer: Option<&Bearer>| {
            tickets.make(bearer, Purpose::Conversation, at(60), at(0)).await.unwrap().reveal().to_owned()
        };
        let redeem = async |ticket: &str, purpose, seconds| tickets.redeem(ticket, purpose, &keys, at(seconds)).await;

        let one = make(Some(&bearer)).await;
        assert_eq!(
            redeem(&one, Purpose::Conversation, 59).await,
            Ok(Some(bearer.clone())),
            "with its scopes and limits"
        );
        assert_eq!(redeem(&one, Purpose::Conversation, 59).await, Err(Refusal::Ticket), "once");
        let late = make(Some(&bearer)).await;
        assert_eq!(redeem(&late, Purpose::Conversation, 60).await, Err(Refusal::Ticket), "it is over");
        let other = make(Some(&bearer)).await;
        assert_eq!(redeem(&other, Purpose::MediaStream, 1).await, Err(Refusal::Ticket), "for something else");
        assert_eq!(redeem(&other, Purpose::Conversation, 1).await, Err(Refusal::Ticket), "and is used by that");
        assert_eq!(redeem("ticket_none", Purpose::Conversation, 1).await, Err(Refusal::Ticket));
        let environment = keys.judge("0123456789abcdef", at(0)).unwrap();
        let all = make(Some(&environment)).await;
        assert_eq!(redeem(&all, Purpose::Conversation, 1).await, Ok(Some(environment)));
        let here = make(None).await;
        assert_eq!(redeem(&here, Purpose::Conversation, 1).await, Ok(None));
        // What was its key is none any more.
        let orphan = make(Some(&bearer)).await;
        keys.revoke(row.id, at(1)).await.unwrap();
        assert_eq!(redeem(&orphan, Purpose::Conversation, 2).await, Err(Refusal::Revoked(at(1))));

        for _ in 0..MOST {
            make(None).await;
        }
        assert!(tickets.make(None, Purpose::Conversation, at(60), at(0)).await.is_none(), "bounded");
        assert!(
            tickets.make(None, Purpose::Conversation, at(120), at(60)).await.is_some(),
            "those that are over make room"
        );
        std::fs::remove_dir_all(folder).ok();
    }
}
