//! One connection from its offer to its end: a task that owns the stack, and the two who hold it, the call and whoever may change it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use milo_media::{PipeIn, PipeOut, RtpSocket, Session};
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    time::{Instant, interval, sleep, sleep_until},
};
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use super::{
    fragment::Fragment,
    offer::{Refused, Taken},
    stack::{Is, LONGEST_MESSAGE, Signs, Stack},
};

/// Messages that wait each way. Full, the newest is lost.
pub(super) const MESSAGES: usize = 256;
/// Changes that wait; whoever has one waits for it.
pub(super) const CHANGES: usize = 4;
/// How long the last messages may take to arrive.
const LAST_MESSAGES: Duration = Duration::from_millis(300);
/// How often it is looked whether the browser has ended the connection.
const LOOK: Duration = Duration::from_millis(500);

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The browser has ended it, or it was ended by DELETE.
    HungUp,
    /// No sign of the browser came for too long.
    Lost,
    /// It never came up.
    NeverUp,
}

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Coming,
    Up,
    Over(Gone),
}

/// What the browser does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// It has sent this by the data channel.
    Said(String),
    /// It has sent something that is no message: bytes, or more than 16 kB of text.
    SaidNothing,
    /// The connection is over.
    Gone(Gone),
}

/// A connection, as the call holds it. Dropped, the connection ends.
#[derive(Debug)]
pub struct Connection {
    pub(super) socket: Option<(RtpSocket, Session)>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) said: mpsc::Receiver<Option<String>>,
    pub(super) tell: mpsc::Sender<String>,
    pub(super) muted: Arc<AtomicBool>,
    pub(super) talks: bool,
    /// Its place among those that are not up yet.
    pub(super) waits: Option<OwnedSemaphorePermit>,
    pub(super) _held: oneshot::Sender<()>,
}

impl Connection {
    /// Waits until it is up. The socket for the leg, and what was agreed.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn up(&mut self) -> Result<(RtpSocket, Session), Gone> {
        let reached = self.standing.wait_for(|standing| *standing != Standing::Coming).await;
        let standing = reached.map_or(Standing::Over(Gone::NeverUp), |standing| *standing);
        self.waits = None;
        match (standing, self.socket.take()) {
            (Standing::Up, Some(socket)) => Ok(socket),
            (Standing::Over(gone), _) => Err(gone),
            _ => Err(Gone::NeverUp),
        }
    }

    /// What the browser does next; once gone, it is gone for ever. Cancel safe.
    pub async fn next(&mut self) -> PeerEvent {
        let over = self.standing.wait_for(|standing| matches!(standing, Standing::Over(_)));
        select! {
            biased;
            Some(said) = self.said.recv() => said.map_or(PeerEvent::SaidNothing, PeerEvent::Said),
            standing = over => match standing.map(|standing| *standing) {
                Ok(Standing::Over(gone)) => PeerEvent::Gone(gone),
                _ => PeerEvent::Gone(Gone::Lost),
            },
        }
    }

    /// Whether the browser has offered a data channel.
    pub fn may_talk(&self) -> bool {
        self.talks
    }

    /// From now on silence is heard of the browser, whatever it sends; or what it sends again.
    pub fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// Sends a message by the data channel. Says whether it may arrive: not when too many wait, or nobody listens.
    pub fn tell(&self, message: String) -> bool {
        self.tell.try_send(message).is_ok()
    }
}

/// Changes a connection: what comes to its resource of WHIP. It does not keep it up. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peer {
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) ice: watch::Receiver<String>,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unchanged {
    /// There is no such connection any more.
    #[error("the connection is over")]
    Gone,
    /// The candidates are for an ICE session that was restarted meanwhile.
    #[error("ICE has begun anew since: fetch its entity tag from the answer to the PATCH that restarted it")]
    Stale,
    /// It cannot begin anew like this.
    #[error("ICE cannot begin anew: {0}")]
    Refused(Refused),
}

#[derive(Debug)]
pub(super) enum Change {
    Try(Vec<String>),
    Restart(Fragment, oneshot::Sender<Result<String, Refused>>),
    HangUp,
}

impl Peer {
    /// The entity tag of the ICE session (RFC 9725 section 4.3), without its quotes.
    pub fn ice(&self) -> String {
        self.ice.borrow().clone()
    }

    /// Tries more candidates of the ICE session with this tag.
    ///
    /// # Errors
    /// [`Unchanged`].
    pub async fn try_candidates(&self, ice: &str, candidates: Vec<String>) -> Result<(), Unchanged> {
        if ice != *self.ice.borrow() {
            return Err(if self.changes.is_closed() { Unchanged::Gone } else { Unchanged::Stale });
        }
        self.changes.send(Change::Try(candidates)).await.map_err(|_| Unchanged::Gone)
    }

    /// Begins ICE anew. What the browser is told of our side.
    ///
    /// # Errors
    /// [`Unchanged`].
    pub async fn restart(&self, fragment: Fragment) -> Result<String, Unchanged> {
        let (answer, answered) = oneshot::channel();
        self.changes.send(Change::Restart(fragment, answer)).await.map_err(|_| Unchanged::Gone)?;
        answered.await.map_err(|_| Unchanged::Gone)?.map_err(Unchanged::Refused)
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// [`Unchanged::Gone`].
    pub async fn hang_up(&self) -> Result<(), Unchanged> {
        self.changes.send(Change::HangUp).await.map_err(|_| Unchanged::Gone)
    }
}

/// What a connection's task owns.
pub(super) struct Carrying {
    pub(super) stack: Stack,
    pub(super) signs: Signs,
    pub(super) taken: Taken,
    pub(super) public: Option<IpAddr>,
    /// Ends with the leg; the stack brings to the other half.
    pub(super) from_leg: PipeOut,
    pub(super) _to_leg: Arc<PipeIn>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) ice: watch::Sender<String>,
    pub(super) said: mpsc::Sender<Option<String>>,
    pub(super) tell: mpsc::Receiver<String>,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) held: oneshot::Receiver<()>,
}

impl Carrying {
    /// Carries packets and messages until either side ends it.
    pub(super) async fn run(mut self, set_up: Duration) {
        let (gone, channel) = self.carry(Instant::now() + set_up).await;
        self.changes.close();
        self.standing.send_replace(Standing::Over(gone));
        if let Some(channel) = channel {
            self.say_last(&*channel).await;
        }
        self.stack.close().await;
    }

    /// Why it is over, and the data channel that is still there.
    async fn carry(&mut self, deadline: Instant) -> (Gone, Option<Arc<dyn DataChannel>>) {
        let (mut channel, mut leg_is_there) = (None::<Arc<dyn DataChannel>>, true);
        let mut look = interval(LOOK);
        loop {
            let is_up = *self.standing.borrow() != Standing::Coming;
            let talks = channel.is_some() || self.taken.has_no_data();
            select! {
                packet = self.from_leg.next(), if leg_is_there => match packet {
                    Some(packet) => self.stack.send(packet).await,
                    None => leg_is_there = false,
                },
                changed = self.signs.state.changed() => {
                    let is = self.signs.state.borrow_and_update().is;
                    match is {
                        _ if changed.is_err() => return (Gone::Lost, channel),
                        Is::Coming => {}
                        Is::Up => drop(self.standing.send_replace(Standing::Up)),
                        Is::Lost if is_up => return (Gone::Lost, None),
                        Is::Lost => return (Gone::NeverUp, None),
                        Is::Closed => return (Gone::HungUp, None),
                    }
                }
                Some(opened) = self.signs.channels.recv() => drop(channel.get_or_insert(opened)),
                event = next_of(channel.as_deref()) => match event {
                    Some(DataChannelEvent::OnMessage(message)) => self.hear(message.is_string, &message.data),
                    Some(DataChannelEvent::OnClose | DataChannelEvent::OnClosing) | None => {
                        channel = None;
                        look.reset_immediately();
                    }
                    Some(_) => {}
                },
                Some(message) = self.tell.recv(), if talks => {
                    if let Some(channel) = &channel
                        && let Err(error) = channel.try_send_text(&message).await
                    {
                        tracing::debug!(%error, "a browser was not told of something");
                    }
                }
                Some(change) = self.changes.recv() => match change {
                    Change::Try(candidates) => self.stack.try_candidates(&candidates).await,
                    Change::Restart(fragment, answer) => {
                        let restarted = self.restart(fragment).await;
                        // Whoever asked may have given up.
                        let _ = answer.send(restarted);
                    }
                    Change::HangUp => return (Gone::HungUp, channel),
                },
                _ = look.tick() => if self.stack.is_ended().await {
                    return (Gone::HungUp, None);
                },
                _ = &mut self.held => return (Gone::HungUp, channel),
                () = sleep_until(deadline), if !is_up => return (Gone::NeverUp, None),
            }
        }
    }

    /// The browser has said something. What nobody takes in time is lost.
    fn hear(&self, is_text: bool, bytes: &[u8]) {
        let text = String::from_utf8(bytes.to_vec()).ok().filter(|_| is_text && bytes.len() <= LONGEST_MESSAGE);
        if self.said.try_send(text).is_err() {
            tracing::debug!("a browser says more than anybody takes");
        }
    }

    /// The browser begins ICE anew: with its new credentials, and ours.
    async fn restart(&mut self, fragment: Fragment) -> Result<String, Refused> {
        let mut taken = self.taken.clone();
        taken.restart(fragment.credentials.ok_or(Refused::NoIce)?);
        taken.ice.candidates = fragment.candidates;
        let answer = self.stack.answer(&taken, &mut self.signs).await?;
        self.taken = taken;
        let ours = Fragment::of(&self.taken.answer(&answer, self.public)?);
        if let Some(credentials) = &ours.credentials {
            self.ice.send_replace(credentials.ufrag.clone());
        }
        Ok(ours.to_text(self.taken.mid()))
    }

    /// Sends the messages that wait, and waits a moment until they have arrived.
    async fn say_last(&mut self, channel: &dyn DataChannel) {
        while let Ok(message) = self.tell.try_recv() {
            if channel.try_send_text(&message).await.is_err() {
                return;
            }
        }
        let until = Instant::now() + LAST_MESSAGES;
        while channel.outstanding_bytes().await.is_ok_and(|bytes| bytes > 0) && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What the data channel brings next; nothing while there is none.
async fn next_of(channel: Option<&dyn DataChannel>) -> Option<DataChannelEvent> {
    match channel {
        Some(channel) => channel.poll().await,
        None => std::future::pending().await,
    }
}
