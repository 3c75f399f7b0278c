//! What was said, as both sides heard it: the language model's messages.

use milo_models::{
    language_model::{ChatMessage, Role},
    synthesizer::Word,
};

use super::{
    Frame,
    reach::{Reach, tokens},
    summary::Summary,
};

/// The conversation so far. Only what left on the wire counts as said.
#[derive(Debug, Default)]
pub(crate) struct Context {
    prompt: String,
    /// What whoever does as they are told is told besides.
    frame: Option<Frame>,
    /// What was said before the exchanges, where that is summed up.
    summary: Summary,
    exchanges: Vec<Exchange>,
    reach: Reach,
}

#[derive(Debug)]
struct Exchange {
    heard: String,
    /// What was done meanwhile: calls, and what came of them.
    done: Vec<ChatMessage>,
    said: Option<String>,
}

impl Exchange {
    /// About how many tokens it is.
    fn tokens(&self) -> usize {
        let done = self.done.iter().map(|message| message.content.as_str());
        done.chain(self.said.as_deref()).chain([self.heard.as_str()]).map(tokens).sum()
    }
}

impl Context {
    /// `reach` says how far back the model sees.
    pub(crate) fn new(prompt: &str, reach: Reach) -> Self {
        Self { prompt: prompt.into(), frame: None, summary: Summary::default(), exchanges: Vec::new(), reach }
    }

    /// With what stands behind the prompt for whoever does as they are told.
    pub(crate) fn framed(self, frame: Option<Frame>) -> Self {
        Self { frame, ..self }
    }

    /// What was said before the exchanges, where that is to be summed up.
    pub(super) fn summary(&mut self) -> Option<&mut Summary> {
        self.reach.is_summed_up.then_some(&mut self.summary)
    }

    /// What the model is told before anything was said.
    fn instructions(&self) -> String {
        self.with_summary(self.prompt.clone())
    }

    /// The same for whoever does as they are told, where they are told more.
    pub(crate) fn framed_instructions(&self) -> Option<String> {
        self.frame.as_ref().map(|frame| self.with_summary(frame.behind(&self.prompt)))
    }

    fn with_summary(&self, instructions: String) -> String {
        match self.summary.told() {
            Some(told) => format!("{instructions}\n{told}"),
            None => instructions,
        }
    }

    /// The first of the newest exchanges that have room beside something of so many tokens.
    fn first_seen(&self, beside: usize) -> usize {
        let Some(most) = self.reach.tokens else { return 0 };
        // Who is going to answer is not known yet: as much as the longer instructions leave.
        let instructions = self.framed_instructions().unwrap_or_else(|| self.instructions());
        let mut left = most.saturating_sub(tokens(&instructions) + beside);
        for (n, exchange) in self.exchanges.iter().enumerate().rev() {
            let Some(rest) = left.checked_sub(exchange.tokens()) else { return n + 1 };
            left = rest;
        }
        0
    }

    /// The model sees so many of the oldest exchanges no more.
    fn drop_oldest(&mut self, count: usize) {
        for Exchange { heard, said, .. } in self.exchanges.drain(..count) {
            if self.reach.is_summed_up {
                self.summary.add(heard, said.unwrap_or_default());
            }
        }
    }

    /// The messages for a reply to what was just heard, and to what came of what was done for it.
    pub(crate) fn messages(&self, heard: &str, done: &[ChatMessage]) -> Vec<ChatMessage> {
        let message = |role, content: &str| ChatMessage { role, content: content.into() };
        let mut messages = vec![message(Role::System, &self.instructions())];
        let beside = tokens(heard) + done.iter().map(|message| tokens(&message.content)).sum::<usize>();
        // What was said before an answer could be heard belongs to what comes next; two user messages in a row are refused by
        // chat templates.
        let mut unanswered = String::new();
        for exchange in &self.exchanges[self.first_seen(beside)..] {
            unanswered.push_str(&exchange.heard);
            if exchange.said.is_none() && exchange.done.is_empty() {
                unanswered.push(' ');
                continue;
            }
            messages.push(message(Role::User, &std::mem::take(&mut unanswered)));
            messages.extend_from_slice(&exchange.done);
            messages.extend(exchange.said.iter().map(|said| message(Role::Assistant, said)));
        }
        unanswered.push_str(heard);
        messages.push(message(Role::User, &unanswered));
        messages.extend_from_slice(done);
        messages
    }

    /// Forgets the oldest exchange; false when there is none.
    pub(crate) fn forget(&mut self) -> bool {
        let any = !self.exchanges.is_empty();
        self.drop_oldest(usize::from(any));
        any
    }

    /// Something was said that answered nobody: it belongs to what was said last. Before the first exchange it is forgotten, as the
    /// greeting is.
    pub(crate) fn add(&mut self, said: &str) {
        let said = said.trim();
        if let Some(exchange) = self.exchanges.last_mut().filter(|_| !said.is_empty()) {
            exchange.said =
                Some(exchange.said.take().map_or_else(|| said.to_owned(), |before| format!("{before} {said}")));
        }
    }

    /// Remembers an exchange: what was heard, what was done, and the part of the reply that the caller heard.
    pub(crate) fn remember(&mut self, heard: &str, done: Vec<ChatMessage>, said: &str) {
        let said = (!said.trim().is_empty()).then(|| said.trim().to_owned());
        self.exchanges.push(Exchange { heard: heard.into(), done, said });
        let surplus = self.exchanges.len().saturating_sub(self.reach.exchanges);
        self.drop_oldest(surplus.max(self.first_seen(0)));
    }
}

/// Which part of a reply left on the wire: clauses with the number of their 16 kHz samples, and their words where the voice tells when each
/// is heard.
#[derive(Debug, Default)]
pub(super) struct Script {
    clauses: Vec<(String, u64)>,
    /// Of the clause of the same place.
    words: Vec<Vec<Word>>,
}

impl Script {
    /// A clause begins; its samples follow.
    pub(super) fn begin(&mut self, clause: &str) {
        self.clauses.push((clause.trim().into(), 0));
        self.words.push(Vec::new());
    }

    /// So many more samples of the newest clause were made.
    pub(super) fn made(&mut self, samples: u64) {
        if let Some((_, made)) = self.clauses.last_mut() {
            *made += samples;
        }
    }

    /// When these words of the newest clause are heard.
    pub(super) fn timed(&mut self, words: Vec<Word>) {
        if let Some(timed) = self.words.last_mut() {
            timed.extend(words);
        }
    }

    /// Letters of the newest clause, and samples of it that were made.
    pub(super) fn newest(&self) -> (u32, u64) {
        self.clauses.last().map_or((0, 0), |(clause, samples)| (clause.chars().count() as u32, *samples))
    }

    /// Whether nothing was to be said.
    pub(super) fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// The whole text.
    pub(super) fn whole(&self) -> String {
        let clauses: Vec<_> = self.clauses.iter().map(|(clause, _)| clause.as_str()).collect();
        clauses.join(" ")
    }

    /// The words that are spoken between these samples of the reply, and those that are cut by them.
    pub(super) fn between(&self, from: u64, to: u64) -> String {
        let (mut begin, mut words) = (0, Vec::new());
        for (clause, samples) in self.clauses.iter().filter(|(_, samples)| *samples > 0) {
            let letters = clause.chars().count() as u64;
            // Where a letter lies, by its share of the clause.
            let place = |letter: u64| begin + samples * letter / letters.max(1);
            let mut letter = 0;
            for word in clause.split_inclusive(char::is_whitespace) {
                let (start, end) = (place(letter), place(letter + word.chars().count() as u64));
                if end > from && start < to {
                    words.push(word.trim());
                }
                letter += word.chars().count() as u64;
            }
            begin += samples;
        }
        words.join(" ")
    }

    /// The words whose samples had left when `played` samples of this reply were on the wire; a word counts when all of it
    /// was heard. A cut is marked with a dash, so that the model knows.
    pub(super) fn heard(&self, mut played: u64) -> String {
        let mut heard: Vec<&str> = Vec::new();
        for ((clause, samples), words) in self.clauses.iter().zip(&self.words) {
            if *samples > 0 && played >= *samples {
                played -= samples;
                heard.push(clause);
                continue;
            }
            let share = if *samples == 0 { 0.0 } else { played as f64 / *samples as f64 };
            let letters = letters_by(words, played, clause).unwrap_or((clause.chars().count() as f64 * share) as usize);
            let mut end = if letters >= clause.chars().count() { clause.len() } else { 0 };
            for (count, (at, letter)) in clause.char_indices().enumerate() {
                if count > letters {
                    break;
                }
                if letter.is_whitespace() {
                    end = end.max(at);
                }
            }
            heard.push(&clause[..end]);
            let text = heard.into_iter().filter(|clause| !clause.is_empty()).collect::<Vec<_>>().join(" ");
            return if text.is_empty() { text } else { format!("{text} —") };
        }
        heard.join(" ")
    }
}

/// So many letters of the clause had been heard by the times of its words; none, where nobody knows them. They are the words as they were
/// spoken, figures read out: where those are others than were written, it is by their share.
fn letters_by(words: &[Word], played: u64, clause: &str) -> Option<usize> {
    // With the space behind it.
    let letters = |word: &str| word.chars().count() + 1;
    let heard = words.iter().take_while(|word| word.samples.end <= played).count();
    let written: Vec<&str> = clause.split_whitespace().collect();
    if written.len() == words.len() && heard > 0 {
        return Some(written[..heard].iter().map(|word| letters(word)).sum::<usize>() - 1);
    }
    let spoken = |words: &[Word]| words.iter().map(|word| letters(&word.text)).sum::<usize>();
    (letters(clause) * spoken(&words[..heard])).checked_div(spoken(words))
}

#[cfg(test)]
mod tests {
    use milo_models::engine::Language;

    use super::*;
    use crate::agent::{Medium, Persona};

    #[test]
    fn a_voice_that_tells_when_its_words_are_heard_is_believed() {
        let mut script = Script::default();
        script.begin("Misokatra ny 8 maraina izahay.");
        script.made(100_000);
        let words = [("Misokatra", 60_000), ("ny", 62_000), ("valo", 70_000), ("maraina", 80_000), ("izahay.", 90_000)];
        let mut start = 0;
        for (text, end) in words {
            script.timed(vec![Word { text: text.into(), samples: start..end }]);
            start = end;
        }
        assert_eq!(script.heard(59_999), "", "a third of the letters, if they were all as long");
        assert_eq!(script.heard(60_000), "Misokatra —");
        assert_eq!(script.heard(61_999), "Misokatra —");
        assert_eq!(script.heard(69_999), "Misokatra ny —");
        assert_eq!(script.heard(81_000), "Misokatra ny 8 maraina —");
        assert_eq!(script.heard(100_000), "Misokatra ny 8 maraina izahay.");
        script.begin("Efatra ny 12.");
        script.made(50_000);
        let words = ["Efatra", "ny", "roa", "ambin'ny", "folo."];
        script.timed(
            words.into_iter().zip(1..).map(|(text, n)| Word { text: text.into(), samples: 0..n * 9_000 }).collect(),
        );
        assert!(script.heard(128_000).ends_with("izahay. Efatra —"), "three of five words are less than two of three");
        assert!(script.heard(145_500).ends_with("Efatra ny 12. —"), "nothing is left but the pause");
    }

    #[test]
    fn only_what_was_heard_is_said() {
        let mut script = Script::default();
        script.begin("Misokatra amin'ny valo maraina izahay,");
        script.made(16_000);
        script.begin("ary mikatona amin'ny dimy hariva.");
        script.made(16_000);
        assert_eq!(script.heard(32_000), "Misokatra amin'ny valo maraina izahay, ary mikatona amin'ny dimy hariva.");
        assert_eq!(script.heard(16_000 + 8_000), "Misokatra amin'ny valo maraina izahay, ary mikatona —");
        assert_eq!(script.heard(0), "");
    }

    #[test]
    fn what_was_said_lately_is_known_by_its_words() {
        let mut script = Script::default();
        script.begin("Misokatra amin'ny valo maraina izahay,");
        script.made(38_000);
        script.begin("ary mikatona.");
        script.made(13_000);
        script.begin("Inona koa?");
        assert_eq!(script.between(20_000, 30_000), "valo maraina");
        assert_eq!(script.between(32_000, 40_000), "izahay, ary");
        assert_eq!(script.between(0, u64::MAX), "Misokatra amin'ny valo maraina izahay, ary mikatona.");
        assert_eq!(script.between(51_000, 60_000), "");
    }

    #[test]
    fn the_model_sees_the_newest_exchanges_with_answers() {
        let mut context = Context::new("prompt", Reach::of(2));
        for turn in ["a", "b", "c"] {
            context.remember(turn, Vec::new(), "yes");
        }
        context.remember("d", Vec::new(), "");
        let contents = |context: &Context| -> Vec<String> {
            context.messages("e", &[]).into_iter().map(|message| message.content).collect()
        };
        assert_eq!(contents(&context), ["prompt", "c", "yes", "d e"]);
        context.add("oh ");
        assert_eq!(contents(&context), ["prompt", "c", "yes", "d", "oh", "e"]);
        context.add("wait");
        assert_eq!(contents(&context), ["prompt", "c", "yes", "d", "oh wait", "e"]);
        assert!(context.forget());
        assert_eq!(contents(&context), ["prompt", "d", "oh wait", "e"]);
        assert!(context.forget() && !context.forget());
        context.add("nobody asked");
        assert_eq!(contents(&context), ["prompt", "e"]);
    }

    #[test]
    fn what_was_done_stands_between_what_was_heard_and_said() {
        let mut context = Context::new("prompt", Reach::of(2));
        let done = || vec![ChatMessage::new(Role::Call, "{1}"), ChatMessage::new(Role::Result, "[1]")];
        context.remember("a", done(), "");
        context.remember("b", done(), "yes");
        let messages = context.messages("c", &done());
        let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["prompt", "a", "{1}", "[1]", "b", "{1}", "[1]", "yes", "c", "{1}", "[1]"]);
    }

    #[test]
    fn as_many_of_the_newest_exchanges_are_seen_as_have_room() {
        // Of some 24 tokens each.
        let (heard, said) = ("h".repeat(24), "s".repeat(24));
        let reach = Reach { exchanges: 50, tokens: Some(300), is_summed_up: false };
        let mut context = Context::new(&"p".repeat(90), reach);
        for _ in 0..30 {
            context.remember(&heard, Vec::new(), &said);
        }
        let seen = |context: &Context, heard: &str| context.messages(heard, &[]).len() - 2;
        assert_eq!(context.exchanges.len(), (300 - 34) / 24);
        // What is heard now, and done for it, takes the place of what was said before.
        assert_eq!(seen(&context, ""), 2 * ((300 - 34 - 4) / 24));
        assert_eq!(seen(&context, &"h".repeat(300)), 2 * ((300 - 34 - 104) / 24));
        assert_eq!(seen(&context, &"h".repeat(3_000)), 0);
        let done = [ChatMessage::new(Role::Result, "r".repeat(300))];
        assert_eq!(context.messages("", &done).len() - 3, 2 * ((300 - 34 - 4 - 104) / 24));
        // One that has no room itself is gone, with those before it.
        context.remember(&"h".repeat(3_000), Vec::new(), "yes");
        assert_eq!(seen(&context, ""), 0);
    }

    #[test]
    fn a_frame_stands_behind_the_prompt_and_before_the_summary_and_takes_its_room() {
        let demo = include_str!("../../dialplans/personas/demo.toml");
        let persona = Persona::parse(demo).expect("a persona");
        let frame = Frame::of(&persona, Medium::Voice);
        let reach = Reach { exchanges: 50, tokens: Some(1_200), is_summed_up: false };
        let (heard, said) = ("h".repeat(24), "s".repeat(24));
        let seen = |frame: Option<Frame>| {
            let mut context = Context::new(&persona.prompt, reach).framed(frame);
            (0..60).for_each(|_| context.remember(&heard, Vec::new(), &said));
            context.exchanges.len()
        };
        let (without, with) = (seen(None), seen(frame.clone()));
        assert!(with > 0 && with < without - 10, "{with} of {without}");
        let mut context = Context::new(&persona.prompt, Reach { is_summed_up: true, ..reach }).framed(frame);
        *context.summary().expect("it is wanted") = Summary::of("Ny ora.", Language::Mg);
        let told = context.framed_instructions().expect("a frame");
        assert!(told.starts_with(&persona.prompt) && told.contains("telefaonina"), "{told}");
        assert!(told.ends_with("\nEfa niresahana: Ny ora."), "{told}");
        let plain = &context.messages("salama", &[])[0].content;
        assert!(plain.starts_with(&persona.prompt) && !plain.contains("telefaonina"), "{plain}");
    }

    #[test]
    fn what_is_seen_no_more_waits_to_be_summed_up_and_only_where_that_is_wanted() {
        let mut context = Context::new("prompt", Reach { is_summed_up: true, ..Reach::of(1) });
        for turn in ["a", "b", "c"] {
            context.remember(turn, Vec::new(), "yes");
        }
        assert!(context.forget());
        let waiting = format!("{:?}", context.summary().expect("it is wanted"));
        assert!([r#"("a", "yes")"#, r#"("b", "yes")"#, r#"("c", "yes")"#].iter().all(|one| waiting.contains(one)));
        let mut context = Context::new("prompt", Reach::of(1));
        context.remember("a", Vec::new(), "yes");
        assert!(context.forget() && context.summary().is_none());
    }
}
