//! What every call shares.

use std::{path::PathBuf, sync::Arc, time::Duration};

use milo_media::{Cleaning, MediaError, prompt::Prompts};
use milo_signaling::Caller;

use super::{Live, Recordings, Seats, SipSeen, Waiters};
use crate::{
    accounts::Accounts,
    after::Analyses,
    campaign::Campaigns,
    chat::Chats,
    config,
    dialplan::Editions,
    engines::Engines,
    likeness::Likeness,
    mcp::Mcp,
    metrics::Metrics,
    store::{LogWriter, Store},
    texts::Texts,
    trunk::Trunks,
    webhook::Webhooks,
};

/// What every call shares.
pub struct House {
    /// The loaded engines.
    pub engines: Engines,
    /// Translates what is said between two whom Milo interprets for.
    pub chats: Chats,
    /// Plans and personas, as they are in force.
    pub editions: Editions,
    /// Sound files, decoded.
    pub prompts: Prompts,
    /// What is recorded, and where to.
    pub recordings: Recordings,
    /// The calls that are up.
    pub live: Arc<Live>,
    /// Who sits at either end of those calls.
    pub seats: Arc<Seats>,
    /// Those who wait for somebody.
    pub waiters: Arc<Waiters>,
    /// Whom plans may ask by HTTP.
    pub webhooks: Arc<Webhooks>,
    /// Servers of tools.
    pub mcp: Mcp,
    /// What pieces of knowledge mean; none: they are found by their words alone.
    pub likeness: Option<Likeness>,
    /// The accounts of our own people's telephones.
    pub accounts: Arc<Accounts>,
    /// The SIP of calls.
    pub sip: Arc<SipSeen>,
    /// Places the calls of the verb `dial` and of the API.
    pub caller: Caller,
    /// The one writer of the call log.
    pub log: LogWriter,
    /// Where it is read what is known of callers.
    pub store: Store,
    /// Takes calls that are over, where it is to be written down what came of them.
    pub analyses: Analyses,
    /// Calls back those who want that.
    pub campaigns: Campaigns,
    /// Sends the texts of the verb `message`.
    pub texts: Texts,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whose calls are taken besides this machine's own, and what is different on them.
    pub trunks: Trunks,
    /// What is done to a caller's sound before it is listened to, where its trunk says nothing else.
    pub cleaning: Cleaning,
    /// The rhythm of talking.
    pub conversation: config::Conversation,
    /// The longest call.
    pub longest: Duration,
}

/// What the configuration wants cleaned.
pub fn cleaning(clean: &config::Clean) -> Cleaning {
    Cleaning { echo: clean.echo, noise: clean.noise, gain: clean.gain, high_pass: clean.high_pass }
}

impl House {
    /// What calls this number: nothing keeps a call for help from being placed.
    pub(super) fn caller_for(&self, number: &str) -> Caller {
        if self.trunks.emergency(number).is_some() { self.caller.urgent() } else { self.caller.clone() }
    }

    /// A file's sound; read beside the tasks that must not wait.
    pub(super) async fn sound(&self, file: PathBuf) -> Result<Arc<[i16]>, MediaError> {
        let prompts = self.prompts.clone();
        let named = file.clone();
        let read = tokio::task::spawn_blocking(move || prompts.sound(&named)).await;
        read.unwrap_or_else(|_| Err(MediaError::Sound { path: file, reason: "could not be read to its end".into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cleaner_has_a_switch_of_its_own() {
        let none = config::Clean { echo: false, noise: false, gain: false, high_pass: false };
        let off = Cleaning::default();
        for (clean, wanted) in [
            (none.clone(), off),
            (config::Clean { echo: true, ..none.clone() }, Cleaning { echo: true, ..off }),
            (config::Clean { noise: true, ..none.clone() }, Cleaning { noise: true, ..off }),
            (config::Clean { gain: true, ..none.clone() }, Cleaning { gain: true, ..off }),
            (config::Clean { high_pass: true, ..none }, Cleaning { high_pass: true, ..off }),
        ] {
            assert_eq!(cleaning(&clean), wanted);
        }
    }
}
