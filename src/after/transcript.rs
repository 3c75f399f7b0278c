//! What was said in a call, as the log has it, in lines for a model to read.

use milo_models::engine::Language;

use crate::store::TurnRow;

/// What was said in one turn: by whoever spoke with Milo, and what of the answer they heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) heard: Option<String>,
    pub(crate) said: Option<String>,
    /// A person has said it, who had taken the call over from Milo.
    pub(crate) by_person: bool,
    /// Which of two, where Milo interpreted between them; none: whoever spoke with Milo.
    pub(crate) heard_from: Option<String>,
}

impl From<&TurnRow> for Exchange {
    fn from(turn: &TurnRow) -> Self {
        let (heard, said, heard_from) = (turn.heard.clone(), turn.said_heard.clone(), turn.heard_from.clone());
        Self { heard, said, by_person: turn.said_by.is_some(), heard_from }
    }
}

impl Exchange {
    /// What they said, where there are words in it that may be told.
    pub(crate) fn words(&self) -> Option<&str> {
        self.heard.as_deref().filter(|words| words.contains(char::is_alphanumeric))
    }
}

/// What stands for the beginning of a call that is too long.
const LEFT_OUT: &str = "…\n";

/// Who said what, in at most so many characters: of a longer call its end. None where the log has no words of whoever spoke with Milo,
/// since they said nothing or said it in private.
pub(crate) fn transcript(turns: &[Exchange], language: Language, longest: usize) -> Option<String> {
    turns.iter().find_map(Exchange::words)?;
    let lines: Vec<String> = turns
        .iter()
        .flat_map(|turn| {
            let asks = match turn.heard_from.as_deref() {
                None | Some("caller") => party(language),
                Some(_) => other(language),
            };
            let answers = match (turn.by_person, &turn.heard_from) {
                (true, _) => person(language),
                (_, Some(_)) => interpreter(language),
                (_, None) => "Milo",
            };
            [(asks, &turn.heard), (answers, &turn.said)]
        })
        .filter_map(|(who, words)| {
            let words = words.as_deref()?.split_whitespace().collect::<Vec<_>>().join(" ");
            (!words.is_empty()).then(|| format!("{who}: {words}"))
        })
        .collect();
    Some(cut(lines.join("\n"), longest))
}

/// What whoever spoke with Milo is called, whoever has called whom.
pub(crate) fn party(language: Language) -> &'static str {
    match language {
        Language::Mg => "Olona",
        Language::Fr => "Interlocuteur",
    }
}

/// What a person is called who has taken the call over.
fn person(language: Language) -> &'static str {
    match language {
        Language::Mg => "Mpandrindra",
        Language::Fr => "Opérateur",
    }
}

/// What somebody is called who is spoken with through an interpreter.
fn other(language: Language) -> &'static str {
    match language {
        Language::Mg => "Ilay iray",
        Language::Fr => "Correspondant",
    }
}

/// What Milo is called there.
fn interpreter(language: Language) -> &'static str {
    match language {
        Language::Mg => "Mpandika teny",
        Language::Fr => "Interprète",
    }
}

/// Cuts from the beginning, whole lines where one begins in what is left.
fn cut(text: String, longest: usize) -> String {
    let surplus = text.chars().count().saturating_sub(longest);
    if surplus == 0 {
        return text;
    }
    let from = text.char_indices().nth(surplus).map_or(text.len(), |(at, _)| at);
    let left = &text[from..];
    let left = left.split_once('\n').map_or(left, |(_, lines)| lines);
    format!("{LEFT_OUT}{left}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Places, Stages, Stamp};

    fn turn(heard: Option<&str>, said: &str) -> Exchange {
        let row = TurnRow {
            number: 1,
            at: Stamp::from_millis(1),
            heard: heard.map(Into::into),
            said: Some(format!("{said} and what nobody heard")),
            said_heard: Some(said.into()),
            said_by: None,
            heard_from: None,
            said_in: None,
            interrupted: true,
            confidence: None,
            language: Some("mg".into()),
            mode: None,
            stages: Stages::default(),
            recording_at_ms: Places::default(),
        };
        Exchange::from(&row)
    }

    #[test]
    fn a_call_is_lines_of_what_was_heard_on_either_side() {
        let turns = [turn(None, "Salama!"), turn(Some("firy\nny  ora"), "Valo"), turn(Some("…"), "…")];
        let lines = transcript(&turns, Language::Fr, 1_000).expect("words");
        assert_eq!(lines, "Milo: Salama!\nInterlocuteur: firy ny ora\nMilo: Valo\nInterlocuteur: …\nMilo: …");
        assert!(transcript(&turns, Language::Mg, 1_000).expect("words").contains("Olona: firy"));
        let person = Exchange { by_person: true, ..turn(Some("allô"), "bonjour") };
        let lines = transcript(&[person], Language::Fr, 1_000).expect("words");
        assert_eq!(lines, "Interlocuteur: allô\nOpérateur: bonjour", "what a person has said is not Milo's");
        let between = |who: &str| Exchange { heard_from: Some(who.into()), ..turn(Some("salama"), "bonjour") };
        let lines = transcript(&[between("caller"), between("called")], Language::Fr, 1_000).expect("words");
        let told = "Interlocuteur: salama\nInterprète: bonjour\nCorrespondant: salama\nInterprète: bonjour";
        assert_eq!(lines, told, "and what was interpreted is neither's");
    }

    #[test]
    fn where_nobody_said_anything_that_the_log_may_keep_there_is_nothing_to_read() {
        assert_eq!(transcript(&[], Language::Mg, 100), None);
        assert_eq!(transcript(&[turn(None, "Salama!"), turn(Some(""), "Mbola eo?")], Language::Mg, 100), None);
        assert_eq!(transcript(&[turn(Some("…"), "…")], Language::Mg, 100), None);
    }

    #[test]
    fn of_a_long_call_the_end_is_read_in_whole_lines() {
        let turns: Vec<_> = (0..50).map(|n| turn(Some(&format!("éé {n}")), "eny")).collect();
        let whole = transcript(&turns, Language::Mg, 10_000).expect("words");
        let end = transcript(&turns, Language::Mg, 60).expect("words");
        assert!(end.starts_with("…\nOlona: éé 4") || end.starts_with("…\nMilo: eny"), "{end}");
        assert!(whole.ends_with(&end[LEFT_OUT.len()..]) && end.chars().count() <= 62, "{end}");
        assert_eq!(transcript(&turns, Language::Mg, whole.chars().count()), Some(whole));
        // A line that is longer than all that may be read.
        let one = transcript(&[turn(Some(&"é".repeat(500)), "")], Language::Mg, 20).expect("words");
        assert_eq!(one, format!("…\n{}", "é".repeat(20)));
        assert_eq!(transcript(&turns, Language::Mg, 0).as_deref(), Some("…\n"));
    }
}
