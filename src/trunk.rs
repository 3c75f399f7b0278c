//! Trunks as calls meet them: which one a call comes over, and what is different on it.

use std::{net::IpAddr, sync::Arc};

use milo_media::Cleaning;

use crate::{
    call::cleaning,
    config::{self, Config},
};

/// All trunks, in the order of the configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trunks(Arc<[Trunk]>);

/// A trunk.
#[derive(Debug)]
pub struct Trunk {
    settings: config::Trunk,
    cleaning: Cleaning,
}

impl Trunks {
    /// Those of the configuration.
    pub fn new(config: &Config) -> Self {
        let trunk = |trunk: &config::Trunk| Trunk {
            cleaning: cleaning(&trunk.clean.over(&config.clean)),
            settings: trunk.clone(),
        };
        Self(config.sip.trunks.iter().map(trunk).collect())
    }

    /// The trunk that a call from this address comes over: the first that fits.
    pub fn of(&self, source: IpAddr) -> Option<&Trunk> {
        let source = source.to_canonical();
        self.0.iter().find(|trunk| trunk.settings.address.contains(&source))
    }
}

impl Trunk {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What is done to the sound of its callers.
    pub fn cleaning(&self) -> Cleaning {
        self.cleaning
    }

    /// Whether its calls are recorded, where it says so.
    pub fn recording(&self) -> Option<bool> {
        self.settings.recording
    }
}
