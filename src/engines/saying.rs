//! A reply on its way: the server's, or the local model's where that is down, late, or outrun.

use std::{future, time::Duration};

use milo_models::{
    engine::{EngineError, RemoteFault},
    language_model::{ChatRequest, Reply, Token, Usage},
    tools::Call,
};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

use super::{
    brief::Brief,
    line::Place,
    mind::{Mind, Mode},
    purse::Taken,
    told::OUTRUN,
};
use crate::store::Stamp;

/// A thread that panics lets go of its replies before it is known to have stopped: one that says nothing at all is looked at after this.
const UNWOUND: Duration = Duration::from_millis(100);

fn is_unfit(error: &EngineError) -> bool {
    matches!(error, EngineError::Remote { fault: RemoteFault::Unfit, .. })
}

/// A reply on its way. Dropping it cancels the rest.
pub struct Saying {
    mind: Mind,
    /// What the local model is asked if no word comes.
    spare: Option<ChatRequest>,
    /// A request that the server finds unfit is the asker's to mend, not the local model's to answer.
    is_strict: bool,
    /// Nobody but whoever does as they are told may answer.
    is_heeding: bool,
    has_said: bool,
    /// What a server that is cancelled has read and said, by length, as it tells its count at the end only.
    guess: Usage,
    mode: Mode,
    /// Why the local model answers although a server was to.
    instead: Option<&'static str>,
    /// That whoever answers was told to be short.
    brief: Option<Brief>,
    reply: Reply,
    /// When the local model begins too, if no word has come.
    late_at: Option<Instant>,
    /// The local model's reply, begun because the server's is late.
    rival: Option<Reply>,
    /// At the server.
    place: Option<Place>,
}

impl Saying {
    /// The server's reply, short where that is wanted, as long as it says a word in time; and what the local model is asked if not.
    pub(super) fn by_server(
        mind: &Mind,
        (spare, brief): (ChatRequest, Option<Brief>),
        reply: Reply,
        place: Option<Place>,
    ) -> Self {
        Self {
            mind: mind.clone(),
            late_at: mind.hedge.map(|after| Instant::now() + after),
            guess: guess(&spare),
            spare: Some(spare),
            rival: None,
            is_strict: false,
            is_heeding: false,
            has_said: false,
            mode: Mode::Cloud,
            instead: None,
            brief,
            reply,
            place,
        }
    }

    /// The local model's reply, short where that is wanted; `instead` says why it is not the server's that is asked first.
    pub(super) fn by_local(mind: &Mind, (reply, brief): (Reply, Option<Brief>), instead: Option<&'static str>) -> Self {
        Self {
            mind: mind.clone(),
            late_at: None,
            guess: Usage::default(),
            spare: None,
            rival: None,
            is_strict: false,
            is_heeding: false,
            has_said: false,
            mode: Mode::Local,
            instead,
            brief,
            reply,
            place: None,
        }
    }

    /// Who answers, as far as it is known: a reply without a word may still become the local model's.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Why the local model answers although a server was to, one of [`super::REASONS`]; as far as it is known.
    pub fn instead(&self) -> Option<&'static str> {
        self.instead
    }

    /// That whoever answers was told to be short, and why; as far as it is known.
    pub fn brief(&self) -> Option<Brief> {
        self.brief
    }

    /// Whether the reply ended at its longest rather than by itself; known at its end.
    pub fn is_cut(&self) -> bool {
        self.reply.is_cut()
    }

    /// What the model wants done; see [`Reply::calls`].
    pub fn calls(&self) -> &[Call] {
        self.reply.calls()
    }

    /// How many tokens the reply has taken, as far as it is known; see [`Reply::usage`].
    pub fn usage(&self) -> Option<Usage> {
        self.reply.usage()
    }

    /// What the reply has taken, and what that costs, as far as it is known.
    pub fn taken(&self) -> Option<Taken> {
        let usage = self.usage()?;
        Some(match self.mode {
            Mode::Cloud => self.mind.purse.of(usage),
            Mode::Local => Taken { cost: 0.0, ..self.mind.purse.of(usage) },
        })
    }

    /// From now on a request that the server finds unfit ([`RemoteFault::Unfit`]) is an error, with the server's words, in place of
    /// the local model's reply: for askers who chose what it holds.
    pub fn strictly(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// From now on a local model that does not do as it is told answers in nobody's place.
    pub(super) fn heeding(mut self) -> Self {
        self.is_heeding = true;
        self
    }

    /// Whether whoever answers does as they are told; as far as it is known.
    pub fn heeds(&self) -> bool {
        self.mode == Mode::Cloud || self.mind.heeds()
    }

    /// Whether the local model may answer in the server's place.
    fn has_spare(&self) -> bool {
        !self.is_heeding || self.mind.heeds()
    }

    /// All of it, and whether it was cut: by its longest, or at about this many bytes.
    ///
    /// # Errors
    /// As [`Saying::next`].
    pub async fn whole(mut self, most: usize) -> Result<(String, bool), EngineError> {
        let mut written = String::new();
        while let Some(token) = self.next().await {
            written.push_str(&token?.text);
            if written.len() > most {
                return Ok((written, true));
            }
        }
        Ok((written, self.is_cut()))
    }

    /// The next piece; `None` when the reply is complete. Cancel safe.
    ///
    /// # Errors
    /// As [`Reply::next`]; [`EngineError::Overloaded`] when the local model has no place either, [`EngineError::Stopped`] when its thread
    /// has panicked before a word. Nothing follows.
    pub async fn next(&mut self) -> Option<Result<Token, EngineError>> {
        while self.rival.is_some() || self.late_at.is_some() {
            select! {
                biased;
                piece = self.reply.next() => return self.first(piece).await,
                piece = next_of(&mut self.rival) => {
                    if self.outrun(&piece) {
                        return piece;
                    }
                }
                () = until(self.late_at) => {
                    self.late_at = None;
                    let request = self.spare.clone().filter(|_| self.has_spare());
                    // Where it has no place, the server is waited for as ever.
                    self.rival = request.and_then(|request| self.mind.local.reply(request).ok());
                }
            }
        }
        let piece = self.reply.next().await;
        if self.spare.is_some() { self.first(piece).await } else { self.later(piece).await }
    }

    /// What the server begins with, or does not.
    async fn first(&mut self, piece: Option<Result<Token, EngineError>>) -> Option<Result<Token, EngineError>> {
        self.late_at = None;
        match piece {
            Some(Ok(token)) => {
                (self.spare, self.rival) = (None, None);
                self.mind.told.metrics().reply(Mode::Cloud);
                self.mind.told.answered();
                self.has_said = true;
                Some(Ok(token))
            }
            Some(Err(error)) if self.is_strict && is_unfit(&error) => {
                (self.spare, self.rival, self.guess) = (None, None, Usage::default());
                self.mind.told.unfit(&error);
                Some(Err(error))
            }
            Some(Err(error)) if !self.has_spare() => {
                (self.spare, self.rival, self.guess) = (None, None, Usage::default());
                Some(Err(self.mind.told.unanswered(error)))
            }
            Some(Err(error)) => {
                self.instead = Some(self.mind.told.fell_back(&error));
                match self.takes_over() {
                    Ok(()) => {
                        let piece = self.reply.next().await;
                        self.later(piece).await
                    }
                    Err(error) => Some(Err(error)),
                }
            }
            // Nothing to say, and a tool that it wants.
            None => {
                (self.spare, self.rival) = (None, None);
                self.mind.told.metrics().reply(Mode::Cloud);
                self.mind.told.answered();
                None
            }
        }
    }

    /// What follows a first word, or is the local model's.
    async fn later(&mut self, piece: Option<Result<Token, EngineError>>) -> Option<Result<Token, EngineError>> {
        match &piece {
            Some(Ok(_)) => {
                self.has_said = true;
                self.guess.completion_tokens += 1;
            }
            Some(Err(error)) if self.mode == Mode::Cloud => self.mind.told.failed(error),
            None if !self.has_said && self.mode == Mode::Local => {
                sleep(UNWOUND).await;
                self.has_said = true;
                return self.mind.stopped().then_some(Err(EngineError::Stopped { engine: "language model" }));
            }
            _ => {}
        }
        piece
    }

    /// The local model, begun since the server is late, has told something: whether it has the reply. One that failed, or ended without
    /// a word or a wish, is forgotten.
    fn outrun(&mut self, piece: &Option<Result<Token, EngineError>>) -> bool {
        let Some(rival) = self.rival.take() else { return false };
        let is_good = match piece {
            Some(result) => result.is_ok(),
            None => !rival.calls().is_empty(),
        };
        if is_good {
            self.mind.told.outrun();
            // It is cancelled, and has read what it was sent.
            self.pay(self.guess);
            self.instead = Some(OUTRUN);
            self.is_now(rival);
            self.has_said = piece.is_some();
        }
        is_good
    }

    /// The server failed: the local model's reply, begun meanwhile or asked for now, is the reply.
    fn takes_over(&mut self) -> Result<(), EngineError> {
        let reply = match (self.rival.take(), self.spare.take()) {
            (Some(rival), _) => rival,
            (None, Some(request)) => self.mind.local.reply(request)?,
            (None, None) => return Ok(()),
        };
        self.is_now(reply);
        Ok(())
    }

    /// The server is paid for so much.
    fn pay(&self, usage: Usage) {
        self.mind.purse.take(usage, Stamp::now());
        self.mind.told.metrics().cost(self.mind.purse.of(usage).cost);
    }

    fn is_now(&mut self, local: Reply) {
        self.mind.told.metrics().reply(Mode::Local);
        (self.reply, self.mode, self.place) = (local, Mode::Local, None);
        self.brief = self.mind.heeded(self.brief);
        (self.spare, self.late_at) = (None, None);
    }
}

/// How much a server reads of a request, where it is not known yet: a token is four letters, or a little less.
fn guess(request: &ChatRequest) -> Usage {
    let letters: usize = request.messages.iter().map(|message| message.content.len()).sum();
    Usage { prompt_tokens: letters.div_ceil(4) as u64, completion_tokens: 0 }
}

/// The next piece of a reply that there may be.
async fn next_of(reply: &mut Option<Reply>) -> Option<Result<Token, EngineError>> {
    match reply {
        Some(reply) => reply.next().await,
        None => future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => future::pending().await,
    }
}

impl Drop for Saying {
    /// However it ended, what it took was taken.
    fn drop(&mut self) {
        if let Some(usage) = self.usage() {
            self.mind.told.metrics().tokens(self.mode, usage);
        }
        // Of one that refused, nothing is paid: it has said nothing, and the local model answers.
        if self.mode == Mode::Cloud {
            self.pay(self.usage().unwrap_or(self.guess));
        }
    }
}
