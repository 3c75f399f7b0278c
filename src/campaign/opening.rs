//! When a campaign may call: hours of days, and holidays, in the time zone of whoever is called.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dialplan::{Holiday, Window, closed, zone_named};

/// The time zone of numbers for which nobody names one.
const ZONE: &str = "Indian/Antananarivo";

/// When a campaign may call. Without hours it is any day's whole day, but for holidays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Opening {
    zone: String,
    holidays: Vec<Holiday>,
    hours: Vec<Window>,
    /// As it was asked for.
    written: Value,
}

/// The same, as it is written.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignOpening)]
pub(super) struct Written {
    /// An IANA name, or an offset such as `+03:00`: that of all numbers for which the list names no other.
    #[schema(example = "Indian/Antananarivo")]
    zone: Option<String>,
    /// Days on which nobody is called: `2026-04-06`, or `06-26` for every year.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["06-26"]))]
    holidays: Vec<Holiday>,
    /// As the `hours` of plans.
    #[serde(default)]
    #[schema(value_type = Vec<Hours>)]
    hours: Vec<Window>,
}

/// A window, in the document.
#[derive(utoipa::ToSchema)]
#[schema(as = CampaignHours)]
#[expect(dead_code, reason = "nothing but the document's")]
struct Hours {
    /// `mon` to `sun`, and spans of them; every day when it is left out.
    #[schema(example = json!(["mon-fri"]))]
    days: Option<Vec<String>>,
    #[schema(example = "08:00")]
    from: String,
    /// At this minute it is over.
    #[schema(example = "17:30")]
    to: String,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            zone: ZONE.into(),
            holidays: Vec::new(),
            hours: Vec::new(),
            written: Value::Object(serde_json::Map::new()),
        }
    }
}

impl TryFrom<Value> for Opening {
    type Error = String;

    fn try_from(written: Value) -> Result<Self, String> {
        let Written { zone, holidays, hours } =
            serde_json::from_value(written.clone()).map_err(|wrong| format!("open: {wrong}"))?;
        if let Some(fault) = hours.iter().find_map(Window::fault) {
            return Err(format!("open: {fault}"));
        }
        let zone = zone.unwrap_or_else(|| ZONE.into());
        zone_named(&zone).map_err(|wrong| format!("open: zone {wrong}"))?;
        Ok(Self { zone, holidays, hours, written })
    }
}

impl From<Opening> for Value {
    fn from(opening: Opening) -> Self {
        opening.written
    }
}

impl Opening {
    /// The time zone of numbers for which the list names no other.
    pub(super) fn zone(&self) -> &str {
        &self.zone
    }

    /// Why nobody in this time zone is called at a moment.
    pub(super) fn closed(&self, zone: &TimeZone, at: Timestamp) -> Option<String> {
        closed((zone, &self.holidays), &self.hours, Some(false), at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn opening(written: Value) -> Result<Opening, String> {
        written.try_into()
    }

    #[test]
    fn hours_are_those_of_whoever_is_called() {
        let office = opening(json!({
            "zone": "Indian/Antananarivo",
            "holidays": ["06-26"],
            "hours": [{ "days": ["mon-fri"], "from": "08:00", "to": "17:00" }],
        }))
        .unwrap();
        let open = |zone: &str, at: &str| office.closed(&zone_named(zone).unwrap(), at.parse().unwrap()).is_none();
        // A Monday; 08:00 in Madagascar is 06:00 in Paris.
        assert!(open(office.zone(), "2026-11-30T05:00:00Z") && !open("Europe/Paris", "2026-11-30T05:00:00Z"));
        assert!(open("Europe/Paris", "2026-11-30T15:59:00Z") && !open(office.zone(), "2026-11-30T15:59:00Z"));
        assert!(!open(office.zone(), "2026-06-26T09:00:00Z"), "a holiday");
        assert!(!open(office.zone(), "2026-11-29T09:00:00Z"), "a Sunday");
        let always = Opening::default();
        assert!(always.closed(&zone_named("+00:00").unwrap(), "2026-11-29T03:00:00Z".parse().unwrap()).is_none());
    }

    #[test]
    fn what_is_kept_is_what_was_written_and_what_is_wrong_says_so() {
        let written = json!({ "hours": [{ "from": "08:00", "to": "17:00" }] });
        assert_eq!(Value::from(opening(written.clone()).unwrap()), written);
        for (wrong, says) in [
            (json!({ "zone": "Mars/Olympus" }), "no time zone"),
            (json!({ "holidays": ["2026-02-30"] }), "no day like"),
            (json!({ "hours": [{ "from": "8:00", "to": "17:00" }] }), "no time of day"),
            (json!({ "hours": [{ "from": "08:00", "to": "08:00" }] }), "are the same"),
            (json!({ "hour": [] }), "hour"),
        ] {
            let said = opening(wrong.clone()).expect_err(says);
            assert!(said.starts_with("open: ") && said.contains(says), "{wrong}: {said}");
        }
    }
}
