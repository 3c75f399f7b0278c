//! The task that takes calls, those that come and those that Milo places.

use std::sync::Arc;

use milo_signaling::{Invitation, Invitations};
use tokio::{
    select,
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::call::{self, House, Placement, WebCall};

/// One task a call. Ends when no more calls are taken and the last one is over.
pub(super) async fn take_calls(
    house: Arc<House>,
    mut invitations: Invitations,
    (mut placements, mut web): (mpsc::Receiver<Placement>, mpsc::Receiver<WebCall>),
    mut taking: watch::Receiver<bool>,
) {
    let mut calls = JoinSet::new();
    loop {
        let invitation: Option<Invitation> = select! {
            invitation = invitations.next() => invitation,
            Some(_) = calls.join_next(), if !calls.is_empty() => continue,
            Some(placement) = placements.recv() => {
                calls.spawn(call::place(Arc::clone(&house), placement));
                continue;
            }
            Some(call) = web.recv() => {
                calls.spawn(call::take_web(Arc::clone(&house), call));
                continue;
            }
            // The sender is dropped when Milo is asked to end.
            _ = taking.changed() => None,
        };
        match invitation {
            Some(invitation) => calls.spawn(call::run(Arc::clone(&house), invitation)),
            None => break,
        };
    }
    // While the last calls are up, newcomers are sent elsewhere, and nobody is called.
    drop((placements, web));
    loop {
        select! {
            ended = calls.join_next() => if ended.is_none() { return },
            Some(invitation) = invitations.next() => {
                invitation.reject(503, "Service Unavailable").await.ok();
            }
        }
    }
}
