//! What places calls and sends texts from an endpoint, for whoever does not own it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{
    bans::Ban,
    destination::{Destination, destination},
    digest::Credentials,
    flow::Transport,
    introduction::Introduction,
    registrar::{Registered, User},
    resolver::Resolver,
    trust::Trust,
    uri::Uri,
};
use crate::{
    Outgoing, SignalingError,
    handle::{Command, NewCall, NewPing, NewText, ask},
    invitation::LegFactory,
    outgoing::Audio,
};

/// Places calls from an endpoint. Cheap to clone, for whoever does not own the endpoint.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) legs: LegFactory,
    pub(super) trust: Option<Trust>,
    pub(super) routes: Arc<[Uri]>,
    pub(super) resolver: Resolver,
    pub(super) is_urgent: bool,
}

impl Caller {
    /// The same, believing other certificates: each peer may have its own.
    #[must_use]
    pub fn trusting(&self, trust: Trust) -> Self {
        Self { trust: Some(trust), ..self.clone() }
    }

    /// The same by way of these proxies, the first of them first (RFC 3261 section 8.1.2): each is a SIP URI with `;lr`.
    #[must_use]
    pub fn by(&self, routes: Vec<Uri>) -> Self {
        Self { routes: routes.into(), ..self.clone() }
    }

    /// The same for calls that are placed however many are up: those to emergency numbers.
    #[must_use]
    pub fn urgent(&self) -> Self {
        Self { is_urgent: true, ..self.clone() }
    }

    /// Calls a `sip:` or `sips:` URI, at the places that DNS names for it until one answers (RFC 3263): over TLS when it is
    /// the latter or says `;transport=tls`, over TCP when it says `;transport=tcp`, else over UDP where DNS names nothing
    /// else, or TCP when the INVITE is too large for a datagram. `from` says who calls.
    ///
    /// # Errors
    /// [`SignalingError::Target`], [`SignalingError::Full`], [`SignalingError::Media`], [`SignalingError::Stopped`].
    pub async fn call(&self, target: &Uri, from: impl Into<Introduction>) -> Result<Outgoing, SignalingError> {
        self.place(target, from.into(), None).await
    }

    /// The same, with credentials for whoever asks for some.
    ///
    /// # Errors
    /// Those of [`Caller::call`].
    pub async fn call_as(
        &self,
        target: &Uri,
        from: impl Into<Introduction>,
        credentials: Credentials,
    ) -> Result<Outgoing, SignalingError> {
        self.place(target, from.into(), Some(credentials)).await
    }

    /// Every place that a call to this address may go to, as DNS says (RFC 3263); none where it cannot be called.
    pub async fn places(&self, target: &Uri) -> Vec<SocketAddr> {
        let (Some(sip), Ok(named)) = (target.as_sip(), Transport::of_uri(target)) else { return Vec::new() };
        let places = self.resolver.places(sip, named).await.unwrap_or_default();
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// Where a call to this address goes, as DNS says now: for [`Caller::call_at`], which asks no more.
    ///
    /// # Errors
    /// [`SignalingError::Target`].
    pub async fn destination(&self, target: &Uri) -> Result<Destination, SignalingError> {
        let wrong = |reason| SignalingError::Target { target: target.to_string(), reason };
        // By way of proxies to the first of them.
        let first = self.routes.first().unwrap_or(target);
        destination(first, &self.resolver, self.trust.clone()).await.map_err(wrong)
    }

    /// The same as [`Caller::call`], at these places and no others: they may have been looked at, and DNS may say something else by now.
    ///
    /// # Errors
    /// Those of [`Caller::call`].
    pub async fn call_at(
        &self,
        target: &Uri,
        from: impl Into<Introduction>,
        destination: Destination,
    ) -> Result<Outgoing, SignalingError> {
        let introduction = Introduction { routes: self.routes.to_vec(), ..from.into() };
        self.set_out(target, introduction, None, destination).await
    }

    /// The accounts whose telephones may register are these from now on, where any may at all. Whose account is gone, or has
    /// another password, is no longer registered; calls that are up stay up.
    ///
    /// # Errors
    /// [`SignalingError::Stopped`].
    pub async fn replace_accounts(&self, users: Vec<User>) -> Result<(), SignalingError> {
        self.commands.send(Command::Accounts(users)).await.map_err(|_| SignalingError::Stopped)
    }

    /// The addresses that are shut out now.
    ///
    /// # Errors
    /// [`SignalingError::Stopped`].
    pub async fn bans(&self) -> Result<Vec<Ban>, SignalingError> {
        ask(&self.commands, Command::Bans).await
    }

    /// Lets an address in again; true: it was shut out.
    ///
    /// # Errors
    /// [`SignalingError::Stopped`].
    pub async fn pardon(&self, address: IpAddr) -> Result<bool, SignalingError> {
        ask(&self.commands, |reply| Command::Pardon(address, reply)).await
    }

    /// Calls a telephone that is registered here, the way that its REGISTER came, by the proxies before it (RFC 3327).
    ///
    /// # Errors
    /// Those of [`Caller::call`].
    pub async fn call_telephone(
        &self,
        telephone: &Registered,
        from: impl Into<Introduction>,
    ) -> Result<Outgoing, SignalingError> {
        let introduction = Introduction { routes: telephone.path.to_vec(), ..from.into() };
        self.set_out(&telephone.contact, introduction, None, Destination::at(telephone.flow)).await
    }

    /// Asks a server whether it is there (OPTIONS), at each place that DNS names until one answers, six seconds each, and waits for
    /// its final response: the status code.
    ///
    /// # Errors
    /// [`SignalingError::Unreached`], [`SignalingError::Target`], [`SignalingError::Stopped`].
    pub async fn ping(&self, target: &Uri) -> Result<u16, SignalingError> {
        let destination = self.destination(target).await?;
        let ping = Box::new(NewPing { target: target.clone(), routes: self.routes.to_vec(), destination });
        ask(&self.commands, |reply| Command::Ping(ping, reply)).await
    }

    /// Sends a text (MESSAGE, RFC 3428) to a `sip:` or `sips:` URI, at the places that DNS names for it, with credentials for
    /// whoever asks for some, and waits for its final response: the status code; 408 when none came, 503 when it could not be
    /// sent, 513 when it is too large: no datagram may have more than 1,300 bytes (section 8), a stream may. `from` is a SIP URI,
    /// or the user part of one at our own address. Over UDP it is sent again for half a minute.
    ///
    /// # Errors
    /// [`SignalingError::Target`], [`SignalingError::Stopped`].
    pub async fn text(
        &self,
        target: &Uri,
        from: &str,
        text: &str,
        credentials: Option<Credentials>,
    ) -> Result<u16, SignalingError> {
        let destination = self.destination(target).await?;
        let introduction = Introduction { routes: self.routes.to_vec(), ..from.into() };
        self.send_text(target, (introduction, text), destination, credentials).await
    }

    /// The same as [`Caller::text`], at these places and no others.
    ///
    /// # Errors
    /// Those of [`Caller::text`].
    pub async fn text_at(
        &self,
        target: &Uri,
        from: &str,
        text: &str,
        destination: Destination,
    ) -> Result<u16, SignalingError> {
        let introduction = Introduction { routes: self.routes.to_vec(), ..from.into() };
        self.send_text(target, (introduction, text), destination, None).await
    }

    /// Sends a text to a telephone that is registered here, the way that its REGISTER came.
    ///
    /// # Errors
    /// Those of [`Caller::text`].
    pub async fn text_telephone(&self, telephone: &Registered, from: &str, text: &str) -> Result<u16, SignalingError> {
        let introduction = Introduction { routes: telephone.path.to_vec(), ..from.into() };
        self.send_text(&telephone.contact, (introduction, text), Destination::at(telephone.flow), None).await
    }

    async fn send_text(
        &self,
        target: &Uri,
        (introduction, text): (Introduction, &str),
        destination: Destination,
        credentials: Option<Credentials>,
    ) -> Result<u16, SignalingError> {
        let (target, text) = (target.clone(), text.to_owned());
        let new = Box::new(NewText { target, introduction, text, destination, credentials });
        ask(&self.commands, |reply| Command::Text(new, reply)).await
    }

    async fn place(
        &self,
        target: &Uri,
        mut introduction: Introduction,
        credentials: Option<Credentials>,
    ) -> Result<Outgoing, SignalingError> {
        let destination = self.destination(target).await?;
        introduction.routes = self.routes.to_vec();
        self.set_out(target, introduction, credentials, destination).await
    }

    async fn set_out(
        &self,
        target: &Uri,
        introduction: Introduction,
        credentials: Option<Credentials>,
        destination: Destination,
    ) -> Result<Outgoing, SignalingError> {
        let socket = self.legs.ports.bind()?;
        let rtp = socket.local_addr()?;
        let (target, trust, is_urgent) = (target.clone(), self.trust.clone(), self.is_urgent);
        let call = NewCall { target, introduction, destination, rtp, is_urgent, credentials, trust };
        let (handle, call_id) = ask(&self.commands, |reply| Command::Call(Box::new(call), reply)).await?;
        Ok(Outgoing { call_id, waiting: Some((handle, Audio::Silent(socket))), legs: self.legs.clone(), told: None })
    }
}
