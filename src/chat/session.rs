//! One conversation by text: what was said in it, as far as it is remembered.

use milo_models::engine::Language;
use serde::{Deserialize, Serialize};

use super::SessionName;
use crate::{
    agent::{Context, Reach},
    redis::Recalled,
    store::Stamp,
};

/// How much of a conversation is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// The newest exchanges.
    pub(super) exchanges: usize,
    /// The newest of these that have so many tokens together; the newest of all has its place whatever it has.
    pub(super) tokens: usize,
}

/// One exchange. Its text in Redis is this, and always the same for the same exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exchange {
    /// When it began, in microseconds since 1970; two of one session never began at once.
    pub(super) at: i64,
    /// Where two nodes answered in the same microsecond.
    id: String,
    language: Language,
    message: String,
    /// None where the answer was not waited for.
    reply: Option<String>,
}

/// One exchange, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Said {
    /// What was written.
    #[schema(example = "Amin'ny ora firy no misokatra ny birao ?")]
    pub message: String,
    /// What was answered; none where the answer was not waited for.
    #[schema(example = "Misokatra amin'ny valo ora maraina ny birao.")]
    pub reply: Option<String>,
}

impl Exchange {
    /// What is kept of it elsewhere, by its beginning.
    pub(super) fn told(&self) -> (i64, String) {
        (self.at, serde_json::to_string(self).unwrap_or_default())
    }

    /// Models differ in what a token is; three bytes are about one in Malagasy and French.
    fn tokens(&self) -> usize {
        (self.message.len() + self.reply.as_ref().map_or(0, String::len)).div_ceil(3)
    }
}

/// One conversation.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: SessionName,
    /// What was spoken last.
    pub(super) language: Language,
    memory: Memory,
    /// The oldest first.
    exchanges: Vec<Exchange>,
    /// When it was begun, or begun anew, by Redis' clock; 0: Redis has not been asked.
    born: i64,
    /// What began before is too much for the model, or was cut away.
    since: i64,
}

/// What comes of it when a session learns what Redis knows.
#[derive(Debug)]
pub(super) struct Merged {
    /// What Redis does not know.
    pub(super) missing: Vec<(i64, String)>,
    /// It was forgotten, and nothing was said since.
    pub(super) is_forgotten: bool,
}

impl Session {
    pub(super) fn new(name: SessionName, memory: Memory) -> Self {
        Self { name, language: Language::Mg, memory, exchanges: Vec::new(), born: 0, since: 0 }
    }

    /// What the model is told before the next message.
    pub(super) fn context(&self, prompt: &str) -> Context {
        let mut context = Context::new(prompt, Reach::of(self.memory.exchanges));
        for exchange in &self.exchanges {
            context.remember(&exchange.message, Vec::new(), exchange.reply.as_deref().unwrap_or_default());
        }
        context
    }

    /// What was said, the oldest first.
    pub(super) fn said(&self) -> Vec<Said> {
        let said = |exchange: &Exchange| Said { message: exchange.message.clone(), reply: exchange.reply.clone() };
        self.exchanges.iter().map(said).collect()
    }

    /// The moment at which an exchange begins: now, and after all that are known.
    pub(super) fn begins(&self, now: i64) -> i64 {
        self.exchanges.last().map_or(now, |exchange| now.max(exchange.at + 1))
    }

    /// It has outgrown the model's context: the oldest exchange is forgotten. False when there is none.
    pub(super) fn outgrown(&mut self) -> bool {
        let Some(oldest) = self.exchanges.first() else { return false };
        self.since = oldest.at + 1;
        self.exchanges.remove(0);
        true
    }

    /// Remembers an exchange that began then.
    pub(super) fn remember(&mut self, at: i64, message: &str, reply: &str) -> Exchange {
        let reply = (!reply.trim().is_empty()).then(|| reply.trim().to_owned());
        let id = crate::store::Key::new().to_string();
        let exchange = Exchange { at, id, language: self.language, message: message.into(), reply };
        self.exchanges.push(exchange.clone());
        self.cut();
        exchange
    }

    /// The moment before which nothing is remembered: what this node has dropped began before it. Others may know what this one
    /// does not.
    pub(super) fn since(&self) -> i64 {
        self.since
    }

    /// Learns what Redis knows, and what Redis does not.
    pub(super) fn merge(&mut self, recalled: &Recalled) -> Merged {
        let forgotten = recalled.forgotten;
        let theirs: Vec<Exchange> =
            recalled.exchanges.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        let mine = self.exchanges.last().map_or(0, |exchange| exchange.at);
        self.exchanges.retain(|exchange| exchange.at > forgotten);
        let is_known =
            |all: &[Exchange], one: &Exchange| all.iter().any(|other| other.at == one.at && other.id == one.id);
        for exchange in &theirs {
            if exchange.at > mine {
                self.language = exchange.language;
            }
            if exchange.at >= self.since && !is_known(&self.exchanges, exchange) {
                self.exchanges.push(exchange.clone());
            }
        }
        self.exchanges.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        self.cut();
        let is_forgotten = self.exchanges.is_empty() && forgotten >= self.born && forgotten > 0;
        if self.born == 0 || forgotten >= self.born {
            self.born = recalled.now;
        }
        let missing = self.exchanges.iter().filter(|exchange| !is_known(&theirs, exchange)).map(Exchange::told);
        Merged { missing: missing.collect(), is_forgotten }
    }

    fn cut(&mut self) {
        let mut tokens = 0;
        let fitting =
            self.exchanges.iter().rev().take(self.memory.exchanges).enumerate().take_while(|(n, exchange)| {
                tokens += exchange.tokens();
                *n == 0 || tokens <= self.memory.tokens
            });
        let surplus = self.exchanges.len() - fitting.count();
        if let Some(newest) = self.exchanges.drain(..surplus).next_back() {
            self.since = self.since.max(newest.at + 1);
        }
    }
}

/// The present moment by this node's clock, in microseconds.
pub(super) fn micros() -> i64 {
    Stamp::now().millis().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(exchanges: usize, tokens: usize) -> Session {
        Session::new(SessionName::new(None, Some("s")).expect("a name"), Memory { exchanges, tokens })
    }

    fn messages(session: &Session) -> Vec<String> {
        session.said().into_iter().map(|said| said.message).collect()
    }

    /// What another node has stored a moment before, and this one has not heard of, is not this one's to drop.
    #[test]
    fn nothing_is_dropped_that_this_node_did_not_drop() {
        let mut session = session(2, 1_000);
        session.remember(100, "first", "a");
        assert_eq!(session.since(), 0, "an exchange that began at 99 elsewhere stays");
        session.remember(200, "second", "b");
        session.remember(300, "third", "c");
        assert_eq!(session.since(), 101, "the first was cut away here");
    }

    #[test]
    fn what_is_remembered_is_the_newest_by_number_and_by_tokens() {
        let mut session = session(3, 100);
        for (at, message) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
            session.remember(at, message, "yes");
        }
        assert_eq!(messages(&session), ["b", "c", "d"]);
        session.remember(5, &"e".repeat(280), "yes");
        assert_eq!(messages(&session)[..2], ["c".to_owned(), "d".to_owned()], "95 tokens, and 2 each before them");
        session.remember(6, &"f".repeat(900), "yes");
        assert_eq!(messages(&session), ["f".repeat(900)], "the newest has its place");
        assert!(session.outgrown() && !session.outgrown());
    }

    #[test]
    fn two_nodes_come_to_know_the_same() {
        let (mut one, mut other) = (session(4, 1_000), session(4, 1_000));
        other.language = Language::Fr;
        let told: Vec<_> =
            [one.remember(10, "a", "1"), other.remember(20, "b", "2")].iter().map(Exchange::told).collect();
        let recalled = |now, all: &[(i64, String)]| Recalled {
            now,
            forgotten: 0,
            exchanges: all.iter().map(|(_, text)| text.clone()).collect(),
        };
        let merged = one.merge(&recalled(30, &told));
        assert_eq!(
            (messages(&one), one.language, merged.missing.len()),
            (vec!["a".into(), "b".into()], Language::Fr, 0)
        );
        // The other has served the session while Redis was away, and Redis has lost all.
        other.remember(40, "c", "3");
        let merged = other.merge(&recalled(50, &told[..1]));
        assert_eq!(messages(&other), ["a", "b", "c"]);
        let texts: Vec<_> = merged.missing.iter().map(|(at, _)| *at).collect();
        assert_eq!(texts, [20, 40], "what Redis does not know");
        assert_eq!(merged.missing[0], told[1], "the same text for the same exchange");
        assert_eq!(other.begins(30), 41, "after all that are known");
        assert_eq!(other.begins(60), 60);
    }

    #[test]
    fn what_is_forgotten_elsewhere_is_forgotten_here_and_what_came_after_is_not() {
        let mut session = session(4, 1_000);
        session.merge(&Recalled { now: 5, ..Recalled::default() });
        session.remember(10, "a", "1");
        let gone = session.merge(&Recalled { now: 30, forgotten: 20, ..Recalled::default() });
        assert!(gone.is_forgotten && gone.missing.is_empty() && session.said().is_empty());
        session.remember(40, "b", "2");
        let after = session.merge(&Recalled { now: 50, forgotten: 20, ..Recalled::default() });
        assert!(!after.is_forgotten && after.missing.len() == 1 && messages(&session) == ["b"]);
    }

    #[test]
    fn what_was_too_much_for_the_model_does_not_come_back_from_redis() {
        let mut session = session(4, 1_000);
        let told: Vec<_> = [(10, "a"), (20, "b"), (30, "c")]
            .into_iter()
            .map(|(at, message)| session.remember(at, message, "yes").told().1)
            .collect();
        assert!(session.outgrown());
        session.merge(&Recalled { now: 40, forgotten: 0, exchanges: told });
        assert_eq!(messages(&session), ["b", "c"]);
    }

    #[test]
    fn what_a_later_version_wrote_is_read() {
        let mut session = session(4, 1_000);
        let text = r#"{"at":7,"id":"x","language":"fr","message":"a","reply":null,"mood":"good"}"#;
        session.merge(&Recalled { now: 9, forgotten: 0, exchanges: vec![text.into(), "nonsense".into()] });
        assert_eq!((messages(&session), session.language), (vec!["a".into()], Language::Fr));
    }
}
