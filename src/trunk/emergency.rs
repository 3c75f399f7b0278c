//! Emergency numbers: what Milo does when one is to be called, whoever wants it called and over whichever trunk.

use std::path::PathBuf;

use milo_signaling::sip::dialled::bare;

use crate::config::{self, EmergencyCalls, TrunkNames};

/// What happens to a call to an emergency number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Emergency {
    /// It is not placed.
    #[default]
    Refuse,
    /// It goes over the first of these trunks that gets through, whatever their limits.
    Pass(TrunkNames),
    /// It is not placed, and a caller who is to be joined with it hears this sound.
    Announce(PathBuf),
}

/// The emergency numbers.
#[derive(Debug, Default)]
pub(super) struct Emergencies {
    numbers: Vec<String>,
    what: Emergency,
}

impl Emergencies {
    pub(super) fn new(sip: &config::Sip) -> Self {
        // The configuration was checked: what is needed is there.
        let what = match sip.emergency_calls {
            EmergencyCalls::Refuse => Emergency::Refuse,
            EmergencyCalls::Pass => sip.emergency_trunk.clone().map_or(Emergency::Refuse, Emergency::Pass),
            EmergencyCalls::Announce => {
                sip.emergency_announcement.clone().map_or(Emergency::Refuse, Emergency::Announce)
            }
        };
        Self { numbers: sip.emergency.clone(), what }
    }

    /// What happens to a call to this number, and how the number is dialled.
    pub(super) fn of(&self, number: &str) -> Option<(&str, &Emergency)> {
        let number = bare(number);
        let known = self.numbers.iter().find(|known| !number.is_empty() && bare(known) == number)?;
        Some((known, &self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_known_however_it_is_written() {
        let emergencies = Emergencies { numbers: vec!["117".into()], what: Emergency::Refuse };
        for number in
            ["117", "1-1-7", "(117)", "117;phone-context=+261", "117#", "*31#117", "#31#117", "1_1_7", "117 ", "1+17"]
        {
            assert_eq!(emergencies.of(number), Some(("117", &Emergency::Refuse)), "{number}");
        }
        for number in ["", "0117", "1170", "+117", "11"] {
            assert_eq!(emergencies.of(number), None, "{number}");
        }
    }
}
