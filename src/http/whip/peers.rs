//! The resources of WHIP: each call that came so, by a name that nobody can guess.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use milo_signaling::webrtc::Peer;
use prometheus::IntGauge;

use super::super::{
    Problem,
    guard::{Asker, Sent},
};
use crate::{keys::random_name, store::Key};

/// Those that are there.
#[derive(Debug)]
pub(in crate::http) struct Peers {
    /// The lock is taken as a call begins and ends, and for each request of its resource; never over a wait.
    open: Mutex<HashMap<String, Resource>>,
    /// How many those are.
    count: IntGauge,
}

#[derive(Debug)]
struct Resource {
    peer: Peer,
    /// The key that made it, if one was sent, and no ticket.
    maker: Option<Maker>,
}

/// Which key it was; `API_KEY` has no identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Maker(Option<Key>);

/// A resource that is there until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: String,
    peers: Arc<Peers>,
}

impl Place {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.lock();
        open.remove(&self.id);
        self.peers.counted(&open);
    }
}

impl Peers {
    pub(in crate::http) fn new(count: IntGauge) -> Self {
        Self { open: Mutex::default(), count }
    }

    pub(super) fn open(self: &Arc<Self>, peer: Peer, asker: &Asker) -> Place {
        let id = random_name();
        let mut open = self.lock();
        open.insert(id.clone(), Resource { peer, maker: maker(asker) });
        self.counted(&open);
        drop(open);
        Place { id, peers: Arc::clone(self) }
    }

    /// The connection of a resource, for whoever may change it; `any`: there are keys.
    pub(super) fn find(&self, id: &str, asker: &Asker, any: bool) -> Result<Peer, Problem> {
        if let Some(why) = asker.refused(any) {
            return Err(why.into());
        }
        let open = self.lock();
        let resource = open.get(id).ok_or_else(gone)?;
        match &resource.maker {
            // To others it is as if it were not there.
            Some(made) if maker(asker).as_ref() != Some(made) => Err(gone()),
            _ => Ok(resource.peer.clone()),
        }
    }

    fn counted(&self, open: &HashMap<String, Resource>) {
        self.count.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Resource>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn gone() -> Problem {
    Problem::not_found("there is no such call, or it is over: post another offer to /api/v1/webrtc")
}

fn maker(asker: &Asker) -> Option<Maker> {
    match &asker.key {
        Sent::Right(bearer) if !asker.by_ticket => Some(Maker(bearer.id)),
        _ => None,
    }
}
