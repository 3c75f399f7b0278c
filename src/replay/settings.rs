//! `--set KEY=VALUE`: a setting of the configuration that is another one for the replay, checked as every setting is.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};

use crate::{
    agent::Turns,
    config::{Config, ConfigError, Conversation, Loaded, Place, Sources},
};

/// What decides of turns; the beginnings of the settings' names.
const DECIDE: [&str; 6] = [
    "conversation.end_of_turn_ms",
    "conversation.longest_pause_ms",
    "clean.",
    "engines.vad.",
    "engines.turn.",
    "engines.stt.",
];

/// The configuration of these sources with these settings.
///
/// # Errors
/// A setting that is none, that changes nothing here, or that cannot have this value.
pub(super) fn load(mut sources: Sources, set: &[String]) -> Result<Config> {
    let mut names = Vec::new();
    for one in set {
        let Some((key, value)) = one.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
            bail!("--set {one:?}: KEY=VALUE is wanted, such as conversation.end_of_turn_ms=300");
        };
        if value.is_empty() {
            bail!("--set {key}: it has no value");
        }
        if !DECIDE.iter().any(|known| key == *known || (known.ends_with('.') && key.starts_with(known))) {
            let known = DECIDE.map(|known| if known.ends_with('.') { format!("{known}*") } else { known.into() });
            bail!("--set {key}: it decides of no turn; these do: {}", known.join(", "));
        }
        let name = format!("MILO__{}", key.replace('.', "__").to_ascii_uppercase());
        sources.environment.retain(|(other, _)| *other != name);
        sources.environment.push((name.clone(), value.to_owned()));
        names.push((name, key.to_owned()));
    }
    match Config::load(&sources) {
        Ok(Loaded { config, .. }) => Ok(config),
        Err(error) => Err(told(error, &names)),
    }
}

/// How the turns of calls are taken: as the configuration says, and a persona, but for what `--set` has been told.
pub(super) struct Thresholds {
    conversation: Conversation,
    /// Each persona's own.
    own: BTreeMap<String, Turns>,
}

impl Thresholds {
    /// Of this configuration, in which these settings are, and of these personas.
    pub(super) fn new(config: &Config, set: &[String], personas: impl Iterator<Item = (String, Turns)>) -> Self {
        let is_set =
            |key: &str| set.iter().any(|one| one.split_once('=').is_some_and(|(known, _)| known.trim() == key));
        let (end, pause) = (is_set("conversation.end_of_turn_ms"), is_set("conversation.longest_pause_ms"));
        let own = personas.map(|(name, turns)| {
            let end_of_turn_ms = turns.end_of_turn_ms.filter(|_| !end);
            (name, Turns { end_of_turn_ms, longest_pause_ms: turns.longest_pause_ms.filter(|_| !pause) })
        });
        Self { conversation: config.conversation.clone(), own: own.collect() }
    }

    /// Those of a persona; one that is not there any more has none of its own.
    pub(super) fn of(&self, persona: &str) -> Conversation {
        self.own_of(persona).unwrap_or_default().within(&self.conversation)
    }

    /// What a persona has of its own.
    pub(super) fn own_of(&self, persona: &str) -> Option<Turns> {
        self.own.get(persona).copied().filter(|own| *own != Turns::default())
    }
}

/// Who wrote `--set` is told of it by that.
fn told(ConfigError(faults): ConfigError, names: &[(String, String)]) -> anyhow::Error {
    let lines = faults.iter().map(|fault| {
        let set = match &fault.place {
            Place::Variable(name) => names.iter().find(|(known, _)| known == name),
            _ => None,
        };
        set.map_or_else(|| fault.to_string(), |(_, key)| format!("--set {key}: {}", fault.says))
    });
    anyhow!(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[&str]) -> Result<Config> {
        let settings: Vec<_> = settings.iter().map(|one| (*one).to_owned()).collect();
        let environment =
            vec![("HOME".into(), "/home/m".into()), ("MILO__CONVERSATION__END_OF_TURN_MS".into(), "700".into())];
        load(Sources { folder: "/nonexistent".into(), environment, ..Sources::default() }, &settings)
    }

    #[test]
    fn a_setting_of_the_command_line_wins_over_the_environment() {
        assert_eq!(set(&[]).unwrap().conversation.end_of_turn_ms, 700);
        let config =
            set(&["conversation.end_of_turn_ms=300", "clean.echo = false", "engines.turn.enabled=false"]).unwrap();
        assert_eq!(
            (config.conversation.end_of_turn_ms, config.clean.echo, config.engines.turn.enabled),
            (300, false, false)
        );
    }

    #[test]
    fn a_personas_own_figures_count_unless_the_command_line_has_others() {
        let patient = Turns { end_of_turn_ms: Some(900), longest_pause_ms: Some(2_500) };
        let of = |settings: &[&str], persona: &str| {
            let config = set(settings).unwrap();
            let settings: Vec<_> = settings.iter().map(|one| (*one).to_owned()).collect();
            let thresholds = Thresholds::new(&config, &settings, [("patient".to_owned(), patient)].into_iter());
            let conversation = thresholds.of(persona);
            (conversation.end_of_turn_ms, conversation.longest_pause_ms, thresholds.own_of(persona).is_some())
        };
        assert_eq!(of(&[], "patient"), (900, 2_500, true));
        assert_eq!(of(&[], "demo"), (700, 1_500, false), "nobody who is known has any of their own");
        assert_eq!(of(&["conversation.end_of_turn_ms = 300"], "patient"), (300, 2_500, true));
        let both = ["conversation.end_of_turn_ms=300", "conversation.longest_pause_ms=400"];
        assert_eq!(of(&both, "patient"), (300, 400, false));
    }

    #[test]
    fn what_is_no_setting_or_has_an_impossible_value_is_told_by_its_name() {
        for (one, says) in [
            ("conversation.end_of_turn_ms", "KEY=VALUE is wanted"),
            ("conversation.end_of_turn_ms=", "--set conversation.end_of_turn_ms: it has no value"),
            (
                "conversation.end_of_turn_ms=3",
                "--set conversation.end_of_turn_ms: conversation.end_of_turn_ms = 3 is not within 100 to 5000",
            ),
            (
                "engines.turn.enabld=false",
                "--set engines.turn.enabld: engines.turn.enabld is not a setting; did you mean engines.turn.enabled?",
            ),
            (
                "conversation.filler_ms=900",
                "--set conversation.filler_ms: it decides of no turn; these do: conversation.end_of_turn_ms",
            ),
        ] {
            let told = set(&[one]).unwrap_err().to_string();
            assert!(told.contains(says), "{one}: {told}");
        }
    }
}
