//! What the language model is told besides what it hears: what became of the call meanwhile.

use std::time::Duration;

use milo_models::engine::Language;

/// Something that happened while nobody spoke with the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The caller had the call on hold for so long, and is back.
    WasHeld(Duration),
    /// The caller was to be transferred to somebody, and is here again: what came of it, as `{{transfer_result}}` has it.
    CameBack(&'static str),
    /// Whoever was there has had somebody else called in their place, who is there now.
    SomebodyElse,
    /// A person has spoken with the caller in the model's place for so long, and this was said, the oldest first.
    TakenOver {
        /// How long.
        lasted: Duration,
        /// Who said what.
        said: Vec<(Speaker, String)>,
    },
    /// A person who supervises the call wants this to be heeded.
    Instruction(String),
    /// Something that the model had done is over, of which nobody waited for the end.
    Done {
        /// What it was.
        tool: String,
        /// What came of it, as JSON.
        told: String,
    },
}

/// One of two who talk with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Whoever calls, or is called.
    Caller,
    /// The person who has taken the call over.
    Supervisor,
}

impl Speaker {
    fn name(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::Caller, Language::Fr) => "l'appelant",
            (Self::Caller, Language::Mg) => "ny mpiantso",
            (Self::Supervisor, Language::Fr) => "l'opérateur",
            (Self::Supervisor, Language::Mg) => "ny mpandrindra",
        }
    }
}

impl News {
    /// As a sentence.
    pub fn sentence(&self, language: Language) -> String {
        match (self, language) {
            (Self::TakenOver { lasted, said }, _) => {
                let (seconds, lines) = (lasted.as_secs(), said.iter());
                let lines = lines.map(|(speaker, words)| format!("{} : « {words} »", speaker.name(language)));
                let lines: Vec<_> = lines.collect();
                let (taken, said) = match language {
                    Language::Fr => (
                        format!("Un opérateur a parlé avec l'appelant à votre place pendant {seconds} s."),
                        "Il s'est dit",
                    ),
                    Language::Mg => (
                        format!("Nisy mpandrindra niresaka tamin'ny mpiantso nandritra ny {seconds} segondra."),
                        "Izao no voalaza",
                    ),
                };
                if lines.is_empty() { taken } else { format!("{taken} {said} : {}.", lines.join(" ; ")) }
            }
            (Self::WasHeld(long), Language::Fr) => {
                format!("L'appelant a mis l'appel en attente pendant {} s et est de retour.", long.as_secs())
            }
            (Self::WasHeld(long), Language::Mg) => {
                format!("Nampiandrasin'ny mpiantso {} segondra ny antso, ary efa niverina izy.", long.as_secs())
            }
            (Self::Done { tool, told }, Language::Fr) => format!("L'outil {tool} a terminé : {told}"),
            (Self::Done { tool, told }, Language::Mg) => format!("Vita ny fitaovana {tool}: {told}"),
            (Self::Instruction(text), Language::Fr) => format!("Consigne de l'opérateur : {text}"),
            (Self::Instruction(text), Language::Mg) => format!("Toromarika avy amin'ny mpandrindra: {text}"),
            (Self::SomebodyElse, Language::Fr) => {
                "L'appelant a transféré l'appel : une autre personne est maintenant en ligne.".into()
            }
            (Self::SomebodyElse, Language::Mg) => {
                "Nafindran'ny mpiantso ny antso: olona hafa no eo amin'ny telefaonina izao.".into()
            }
            (Self::CameBack("answered" | "joined"), Language::Fr) => {
                "L'appelant a parlé avec la personne demandée, puis est revenu.".into()
            }
            (Self::CameBack("answered" | "joined"), Language::Mg) => {
                "Niresaka tamin'ilay olona nilainy ny mpiantso, dia niverina.".into()
            }
            (Self::CameBack(result), Language::Fr) => {
                let why = match *result {
                    "busy" => "la ligne est occupée",
                    "no answer" => "personne n'a répondu",
                    "not registered" => "le poste n'est pas joignable",
                    "refused" => "l'appel a été refusé",
                    "declined" => "la personne demandée n'a pas pris l'appel",
                    "the one who was called hung up" => "la personne demandée a raccroché",
                    _ => "l'appel n'a pas pu être établi",
                };
                format!("Le transfert n'a pas abouti : {why}. L'appelant est de retour.")
            }
            (Self::CameBack(result), Language::Mg) => {
                let why = match *result {
                    "busy" => "sahirana ny laharana",
                    "no answer" => "tsy nisy namaly",
                    "not registered" => "tsy azo tratrarina ilay telefaonina",
                    "refused" => "nolavina ny antso",
                    "declined" => "tsy nandray ny antso ilay olona nantsoina",
                    "the one who was called hung up" => "nanapaka ilay olona nantsoina",
                    _ => "tsy tafita ny antso",
                };
                format!("Tsy tontosa ny famindrana: {why}. Efa niverina ny mpiantso.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_a_sentence_in_the_language_of_the_call() {
        let long = Duration::from_millis(12_400);
        for (news, language, sentence) in [
            (News::WasHeld(long), Language::Fr, "L'appelant a mis l'appel en attente pendant 12 s et est de retour."),
            (
                News::CameBack("busy"),
                Language::Mg,
                "Tsy tontosa ny famindrana: sahirana ny laharana. Efa niverina ny mpiantso.",
            ),
            (
                News::CameBack("declined"),
                Language::Fr,
                "Le transfert n'a pas abouti : la personne demandée n'a pas pris l'appel. L'appelant est de retour.",
            ),
            (
                News::CameBack("declined"),
                Language::Mg,
                "Tsy tontosa ny famindrana: tsy nandray ny antso ilay olona nantsoina. Efa niverina ny mpiantso.",
            ),
            (News::CameBack("joined"), Language::Fr, "L'appelant a parlé avec la personne demandée, puis est revenu."),
            (
                News::TakenOver {
                    lasted: long,
                    said: vec![(Speaker::Caller, "allô".into()), (Speaker::Supervisor, "bonjour".into())],
                },
                Language::Fr,
                "Un opérateur a parlé avec l'appelant à votre place pendant 12 s. Il s'est dit : l'appelant : « allô » ; \
                 l'opérateur : « bonjour ».",
            ),
            (
                News::TakenOver { lasted: long, said: Vec::new() },
                Language::Mg,
                "Nisy mpandrindra niresaka tamin'ny mpiantso nandritra ny 12 segondra.",
            ),
        ] {
            assert_eq!(news.sentence(language), sentence);
        }
    }
}
