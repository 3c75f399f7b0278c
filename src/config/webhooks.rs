//! `[[webhooks]]`: programs of the operator's that are told what happens in calls, and of campaigns.

use std::path::PathBuf;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::{Faults, Secret, SecretUrl};

/// What they can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallEvent {
    /// A call comes in, or Milo begins to place one.
    Started,
    /// It is up.
    Answered,
    /// A turn is over.
    Turn,
    /// Somebody was to be transferred, and this came of it.
    Transferred,
    /// The caller wants something of the people of the house: a message was left, a call back is wished.
    Requested,
    /// Milo has called a caller back who wanted that, or calls them no more.
    CalledBack,
    /// It is over.
    Ended,
    /// A recording is whole.
    RecordingReady,
    /// The model has written down what came of it, or could not.
    Analysed,
    /// Nobody of a campaign's list is left to call.
    CampaignFinished,
}

impl CallEvent {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Started,
        Self::Answered,
        Self::Turn,
        Self::Transferred,
        Self::Requested,
        Self::CalledBack,
        Self::Ended,
        Self::RecordingReady,
        Self::Analysed,
        Self::CampaignFinished,
    ];

    /// `started`, `answered`, `turn`, `transferred`, `requested`, `called_back`, `ended`, `recording_ready`,
    /// `analysed`, `campaign_finished`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Answered => "answered",
            Self::Turn => "turn",
            Self::Transferred => "transferred",
            Self::Requested => "requested",
            Self::CalledBack => "called_back",
            Self::Ended => "ended",
            Self::RecordingReady => "recording_ready",
            Self::Analysed => "analysed",
            Self::CampaignFinished => "campaign_finished",
        }
    }
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookTarget {
    /// What it is called in the API, the metrics and the database; unset: its address.
    pub name: Option<String>,
    /// Where it is told: `https://` or `http://`.
    pub url: SecretUrl,
    /// Of what.
    pub events: Vec<CallEvent>,
    /// What each request is signed with.
    pub secret: Option<Secret>,
    /// A file that holds it, read in place of it.
    pub secret_file: Option<PathBuf>,
    /// The authorities that are believed, a PEM file; unset: those of the system.
    pub ca: Option<PathBuf>,
    /// Whether its host may be at a private address.
    pub allow_private: bool,
    /// How long a try may take, in seconds.
    pub timeout_s: u64,
    /// After so many tries what was to be told is a dead letter.
    pub attempts: u32,
    /// The pause after the first try, in seconds; each is twice as long as the one before, up to an hour.
    pub backoff_s: u64,
}

impl Default for WebhookTarget {
    fn default() -> Self {
        Self {
            name: None,
            url: SecretUrl::new(""),
            events: CallEvent::ALL.into(),
            secret: None,
            secret_file: None,
            ca: None,
            allow_private: false,
            timeout_s: 10,
            attempts: 14,
            backoff_s: 5,
        }
    }
}

impl WebhookTarget {
    /// What it is called.
    pub fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let shown = self.url.masked();
            shown.split(['?', '#']).next().unwrap_or_default().to_owned()
        })
    }

    /// Where it is told; none where that is no address.
    pub fn uri(&self) -> Option<Uri> {
        http_address(self.url.reveal())
    }

    pub(super) fn check_all(targets: &[Self], faults: &mut Faults<'_>) {
        for (n, target) in targets.iter().enumerate() {
            let key = |field: &str| format!("webhooks[{n}].{field}");
            if target.uri().is_none() {
                faults.add(&key("url"), "is no address like https://crm.example.com/milo".into());
            }
            let called = target.called();
            if called.is_empty() || called.len() > 200 || called.chars().any(char::is_control) {
                faults.add(&key("name"), "is not 1 to 200 characters long".into());
            } else if targets.iter().take(n).any(|other| other.called() == called) {
                faults.add(&key("name"), format!("{called:?} is the name of another one"));
            }
            if target.events.is_empty() {
                faults.add(&key("events"), "is empty".into());
            }
            if target.secret.as_ref().is_some_and(|secret| secret.reveal().len() < 16) {
                faults.add(&key("secret"), "is shorter than 16 characters".into());
            }
            faults.within(&key("timeout_s"), target.timeout_s, 1..=30);
            faults.within(&key("attempts"), target.attempts, 1..=50);
            faults.within(&key("backoff_s"), target.backoff_s, 1..=3_600);
        }
    }
}

/// An address that can be asked by HTTP: with a host, and without a user.
pub fn http_address(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok().filter(|uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")))?;
    let authority = uri.authority()?;
    (!authority.as_str().contains('@') && !authority.host().is_empty()).then_some(uri)
}
