//! An incoming call that nobody has answered yet.

use std::{net::SocketAddr, sync::Arc};

use milo_media::{Codec, Leg, LegOptions, MediaError, PortPool, RtpSocket};
use tokio::{runtime::Handle, sync::mpsc};

use crate::{
    Dialog, SignalingError, Text,
    handle::{CallHandle, Command},
    sip::{Message, Name, Uri, identity::Identity, reason::Reason, registrar::Proven},
};

/// What legs are made from.
#[derive(Clone, Debug)]
pub(crate) struct LegFactory {
    pub(crate) ports: Arc<PortPool>,
    pub(crate) runtime: Handle,
    pub(crate) options: LegOptions,
}

impl LegFactory {
    pub(crate) fn start(&self, socket: milo_media::RtpSocket, session: Option<milo_media::Session>) -> Leg {
        Leg::start(socket, session, self.options.clone(), &self.runtime)
    }
}

/// The incoming calls of an endpoint. Dropping it turns later callers away with 503.
#[derive(Debug)]
pub struct Invitations {
    pub(crate) queue: mpsc::Receiver<Invitation>,
    pub(crate) texts: Option<mpsc::Receiver<Text>>,
    /// Keeps the endpoint's task alive while calls are still wanted.
    pub(crate) _commands: mpsc::Sender<Command>,
}

impl Invitations {
    /// The next incoming call; `None` once the endpoint has been shut down. Cancel safe.
    pub async fn next(&mut self) -> Option<Invitation> {
        self.queue.recv().await
    }

    /// The texts that come outside of calls, for their owner to take, once. Each has its answer already. While nobody takes
    /// them a few wait, and more are answered 503; let go of, they are answered 480.
    pub fn texts(&mut self) -> Option<mpsc::Receiver<Text>> {
        self.texts.take()
    }
}

/// An incoming call. Dropped unanswered it is refused with 480.
#[derive(Debug)]
pub struct Invitation {
    pub(crate) handle: CallHandle,
    pub(crate) invite: Arc<Message>,
    pub(crate) source: SocketAddr,
    pub(crate) proven: Option<Proven>,
    pub(crate) from: Uri,
    pub(crate) to: Uri,
    pub(crate) from_number: String,
    pub(crate) to_number: String,
    pub(crate) identity: Identity,
    pub(crate) legs: LegFactory,
}

impl Invitation {
    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.invite.headers.get(Name::CALL_ID).unwrap_or_default()
    }

    /// The caller's number: the user part of From.
    pub fn from_number(&self) -> &str {
        &self.from_number
    }

    /// The number that was dialled: the user part of the Request-URI.
    pub fn to_number(&self) -> &str {
        &self.to_number
    }

    /// The caller: the URI of From.
    pub fn from_uri(&self) -> &Uri {
        &self.from
    }

    /// Who is called: the Request-URI.
    pub fn to_uri(&self) -> &Uri {
        &self.to
    }

    /// Where the INVITE came from.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// The account that the caller has proved to be, where it had to: it is not trusted by its address.
    pub fn account(&self) -> Option<&str> {
        match &self.proven {
            Some(Proven::Account(account)) => Some(account),
            _ => None,
        }
    }

    /// The trunk that the caller has proved to be: it is not trusted by its address.
    pub fn trunk(&self) -> Option<&str> {
        match &self.proven {
            Some(Proven::Trunk(trunk)) => Some(trunk),
            _ => None,
        }
    }

    /// The first header field of the INVITE with this name, in any case or its compact form.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.invite.headers.get(name)
    }

    /// Every header field of the INVITE with this name, in order.
    pub fn header_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.invite.headers.get_all(name)
    }

    /// What the INVITE says of its caller beside From. Anybody may have written it: believe those who are trusted to.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Why the caller has given up, where its CANCEL said so.
    pub fn reasons(&self) -> Vec<Reason> {
        self.handle.state.borrow().reasons.clone()
    }

    /// The call speaks these, preferred first, in place of what calls from its caller's address do. Before [`Self::early`] and
    /// [`Self::answer`].
    pub async fn speak(&mut self, codecs: Arc<[&'static Codec]>) {
        // An endpoint that has ended is told of by whatever follows.
        let _ = self.handle.commands.send(Command::Speak(self.handle.key, codecs)).await;
    }

    /// Tells the caller that its call is being offered: 180. Repeated by itself every minute.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the caller has given up.
    pub async fn ring(&mut self) -> Result<(), SignalingError> {
        self.handle.ask(Command::Ring).await
    }

    /// Resolves once the caller has given up. Cancel safe.
    pub async fn cancelled(&mut self) {
        self.handle.ended().await;
    }

    /// Answers: opens the RTP socket, sends 200, waits for its ACK (RFC 3261 section 13.3.1.4) and starts the leg. When the INVITE brought no offer, the session comes
    /// later, as the dialog's first [`crate::DialogEvent::MediaChange`].
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the caller has given up, or never acknowledged the answer. [`SignalingError::Media`]: no RTP
    /// socket could be had, the caller has been refused with 503. [`SignalingError::Offer`]: refused with 488.
    pub async fn answer(mut self) -> Result<(Dialog, Leg), SignalingError> {
        let (socket, rtp) = match self.bind() {
            Ok(bound) => bound,
            Err(error) => {
                // Whether or not the caller still hears it, the error is what counts.
                let _ = self.reject(503, "").await;
                return Err(error.into());
            }
        };
        let session = self.handle.ask(|key, reply| Command::Answer(key, rtp, reply)).await?;
        self.handle.acknowledged().await?;
        let leg = self.legs.start(socket, session);
        let call_id = self.call_id().to_owned();
        Ok((Dialog::new(self.handle, call_id, 0), leg))
    }

    /// A socket for the call's audio.
    pub(crate) fn bind(&self) -> Result<(RtpSocket, SocketAddr), MediaError> {
        let socket = self.legs.ports.bind()?;
        let rtp = socket.local_addr()?;
        Ok((socket, rtp))
    }

    /// Sends the caller elsewhere: 302 with this address as its Contact (RFC 3261 section 8.3).
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the caller has given up.
    pub async fn redirect(self, to: &Uri) -> Result<(), SignalingError> {
        let to = to.clone();
        self.handle.ask(|key, reply| Command::Redirect(key, to, reply)).await
    }

    /// Should it be refused, the caller is told this reason (RFC 3326, RFC 6432).
    pub async fn because(&self, reason: Reason) {
        // The endpoint has ended, and says nothing any more.
        self.handle.commands.send(Command::Because(self.handle.key, reason)).await.ok();
    }

    /// Refuses with this code (300 to 699) and phrase; an empty phrase takes the usual one.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the caller has given up.
    pub async fn reject(self, code: u16, reason: &str) -> Result<(), SignalingError> {
        let reason = reason.to_owned();
        self.handle.ask(|key, reply| Command::Reject(key, code, reason, reply)).await
    }
}
