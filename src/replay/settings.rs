//! `--set KEY=VALUE`: a setting of the configuration that is another one for the replay, checked as every setting is.

use anyhow::{Result, anyhow, bail};

use crate::config::{Config, ConfigError, Loaded, Place, Sources};

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
