//! A language model's tokens as words that may be said or shown: weighed at the beginning, without the model's own signs.

use milo_models::{
    engine::EngineError,
    language_model::{Usage, WEIGHED_TOKENS},
    tools::Call,
};

use crate::engines::{Brief, Mode, Saying, Taken};

/// The model's own sign that the conversation is over.
const HANG_UP: &str = "[hangup]";

/// What comes out of a model's reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The next words; empty while the first tokens are weighed, or a bracket may become a sign.
    Text(String),
    /// The first tokens are too unlikely to be spoken. Nothing follows.
    Doubtful,
    /// The model says that the conversation is over. Nothing follows.
    HangUp,
}

/// A reply on its way. Dropping it cancels the rest.
pub(crate) struct Words {
    tokens: Saying,
    /// Text not yet released by the gate or by an open bracket.
    held: String,
    gate: Gate,
    hang_up: bool,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Coming,
    Leaving,
    Ended,
}

/// Lets a reply pass when its first tokens are likely enough.
enum Gate {
    Open,
    Weighing { least: f32, sum: f32, count: usize },
}

impl Words {
    /// Of these tokens; those at the beginning must have a mean logprob of `least`, if it is given and they have one.
    pub(crate) fn new(tokens: Saying, least: Option<f32>) -> Self {
        let gate = least.map_or(Gate::Open, |least| Gate::Weighing { least, sum: 0.0, count: 0 });
        Self { tokens, held: String::new(), gate, hang_up: false, state: State::Coming }
    }

    /// Who answers, as far as it is known.
    pub(crate) fn mode(&self) -> Mode {
        self.tokens.mode()
    }

    /// Whether whoever answers does as they are told; see [`Saying::heeds`].
    pub(crate) fn heeds(&self) -> bool {
        self.tokens.heeds()
    }

    /// Why the local model answers although a server was to; see [`Saying::instead`].
    pub(crate) fn instead(&self) -> Option<&'static str> {
        self.tokens.instead()
    }

    /// That whoever answers was told to be short; see [`Saying::brief`].
    pub(crate) fn brief(&self) -> Option<Brief> {
        self.tokens.brief()
    }

    /// Whether the reply ended at its longest rather than by itself; known at its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.tokens.is_cut()
    }

    /// What the model wants done; known at the reply's end.
    pub(crate) fn calls(&self) -> &[Call] {
        self.tokens.calls()
    }

    /// What the reply has taken, and what that costs; see [`Saying::taken`].
    pub(crate) fn taken(&self) -> Option<Taken> {
        self.tokens.taken()
    }

    /// How many tokens the reply has taken, as far as it is known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.tokens.usage()
    }

    /// The next piece, one a token; `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Piece, EngineError>> {
        match self.state {
            State::Ended => return None,
            State::Leaving => {
                self.state = State::Ended;
                return Some(Ok(Piece::HangUp));
            }
            State::Coming => {}
        }
        let doubtful = match self.tokens.next().await {
            Some(Ok(token)) => {
                self.held.push_str(&token.text);
                self.gate.doubts(token.logprob)
            }
            Some(Err(error)) => {
                self.state = State::Ended;
                return Some(Err(error));
            }
            None if self.gate.doubts_the_end() => true,
            None => {
                let text = release(&mut self.held, &mut self.hang_up) + &self.held;
                self.state = if self.hang_up { State::Leaving } else { State::Ended };
                if !text.is_empty() {
                    return Some(Ok(Piece::Text(text)));
                }
                self.state = State::Ended;
                return self.hang_up.then_some(Ok(Piece::HangUp));
            }
        };
        if doubtful {
            self.state = State::Ended;
            return Some(Ok(Piece::Doubtful));
        }
        let is_open = matches!(self.gate, Gate::Open);
        Some(Ok(Piece::Text(if is_open { release(&mut self.held, &mut self.hang_up) } else { String::new() })))
    }
}

impl Gate {
    /// Weighs the next token; true when the reply is too unlikely. What is not told cannot be weighed.
    fn doubts(&mut self, logprob: Option<f32>) -> bool {
        let Some(logprob) = logprob else {
            *self = Self::Open;
            return false;
        };
        if let Self::Weighing { least, sum, count } = self {
            *sum += logprob;
            *count += 1;
            if *count >= WEIGHED_TOKENS {
                if *sum / (*count as f32) < *least {
                    return true;
                }
                *self = Self::Open;
            }
        }
        false
    }

    /// Whether a reply that ended before the gate had seen enough tokens is too unlikely.
    fn doubts_the_end(&self) -> bool {
        matches!(self, Self::Weighing { least, sum, count } if *count > 0 && *sum / (*count as f32) < *least)
    }
}

/// Takes the text that may be spoken out of `held`: all but an open bracket, which may become the hang-up sign.
fn release(held: &mut String, hang_up: &mut bool) -> String {
    while let Some(at) = held.find(HANG_UP) {
        held.replace_range(at..at + HANG_UP.len(), "");
        *hang_up = true;
    }
    let open = held.rfind('[').filter(|at| HANG_UP.starts_with(&held[*at..]));
    let rest = open.map(|at| held.split_off(at)).unwrap_or_default();
    std::mem::replace(held, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hang_up_sign_is_taken_out_even_in_pieces() {
        let (mut held, mut hang_up, mut spoken) = (String::new(), false, String::new());
        for piece in ["Velo", "ma! [ha", "ng", "up", "]"] {
            held.push_str(piece);
            spoken += &release(&mut held, &mut hang_up);
        }
        assert_eq!((spoken.as_str(), hang_up, held.as_str()), ("Veloma! ", true, ""));
    }

    #[test]
    fn other_brackets_are_text() {
        let (mut held, mut hang_up) = ("a [b".to_owned(), false);
        assert_eq!(release(&mut held, &mut hang_up), "a [b");
        assert!(!hang_up);
    }

    #[test]
    fn the_gate_weighs_the_first_tokens_only() {
        let mut gate = Gate::Weighing { least: -1.0, sum: 0.0, count: 0 };
        assert!((0..WEIGHED_TOKENS).all(|_| !gate.doubts(Some(-0.2))));
        assert!(!gate.doubts(Some(-50.0)));
        let mut gate = Gate::Weighing { least: -1.0, sum: 0.0, count: 0 };
        assert!((0..WEIGHED_TOKENS).any(|_| gate.doubts(Some(-1.5))));
        let mut gate = Gate::Weighing { least: -1.0, sum: 0.0, count: 0 };
        assert!(!gate.doubts(None) && !gate.doubts_the_end(), "what is not told is not doubted");
    }
}
