//! Callers who want to be called back: each a number in a standing campaign, which calls it when that was agreed.
//!
//! ```text
//! verb request ─► when? open then? may it be called? ─► a row, due at that moment ─► run.rs, as any other
//!                    └─ no: a sentence, and a person calls back
//! ```
//! Nobody is called but over the campaign's trunk and by its rules, and for as many wishes of one number a day as [`OFTEN`] says, each with
//! its retries: who shows somebody else's number has them called for no more than that.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use milo_models::{engine::Language, text::heard};
use tokio::{sync::oneshot, time::timeout};

use super::{Campaigns, Order, attempt::away, number};
use crate::{
    call::a_day_before,
    dialplan::zone_named,
    store::{CallBack, CallBackAdded, CallBackBounds, Key, NewCallBack, Stamp, StoreError},
};

/// How long a caller waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);
/// As far ahead as somebody is called back.
const FARTHEST: SignedDuration = SignedDuration::from_hours(62 * 24);
/// Wishes of one number within a day for which it is called.
const OFTEN: i64 = 3;
/// As many digits as a telephone number has; what is shorter may be a service, which a call would order something of.
const DIGITS: RangeInclusive<usize> = 5..=15;

/// What a caller wants.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'w> {
    /// The name of the standing campaign.
    pub campaign: &'w str,
    /// The number.
    pub telephone: &'w str,
    /// When, in their words.
    pub wanted: &'w str,
    /// What it is about.
    pub subject: &'w str,
    /// What they speak.
    pub language: Option<Language>,
}

impl Wish<'_> {
    /// What the plan is given by this name, where it is no variable of the call in which it was wished.
    fn own(&self, name: &str) -> Option<String> {
        match name {
            "subject" => Some(self.subject.to_owned()),
            "wanted" => Some(self.wanted.to_owned()),
            "language" => self.language.map(|language| language.code().to_owned()),
            _ => None,
        }
    }
}

impl Campaigns {
    /// Has somebody called back at the moment that they want; `value` is that of a variable of their call. The row, and the moment by the
    /// clock of the campaign.
    ///
    /// # Errors
    /// Why Milo does not.
    pub async fn call_back(
        &self,
        wish: Wish<'_>,
        value: impl Fn(&str) -> String,
    ) -> Result<(CallBack, String), String> {
        let adding = timeout(PATIENCE, self.add_call_back(wish, value));
        match adding.await {
            Ok(Ok(added)) => added,
            Ok(Err(error)) => {
                away(&error);
                Err("it cannot be written down now".into())
            }
            Err(_) => Err("it cannot be written down now".into()),
        }
    }

    async fn add_call_back(
        &self,
        wish: Wish<'_>,
        value: impl Fn(&str) -> String,
    ) -> Result<Result<(CallBack, String), String>, StoreError> {
        let Some(row) = self.store.standing_campaign(wish.campaign).await? else {
            tracing::warn!(campaign = wish.campaign, "a caller is to be called back by a campaign that there is not");
            return Ok(Err("calls back are not placed now".into()));
        };
        let Ok(order) = serde_json::from_value::<Order>(row.settings) else {
            return Ok(Err("calls back are not placed now".into()));
        };
        let moment = zone_named(order.open.zone()).and_then(|zone| agreed(wish.wanted, &zone, &order));
        let (due, shown) = match moment {
            Ok(moment) => moment,
            Err(why) => return Ok(Err(why)),
        };
        let Some(called) = telephone(wish.telephone) else {
            return Ok(Err("this is no number that can be called".into()));
        };
        let variables = self.given(&order, &wish, value);
        if let Err(why) = self.calls_out.check_allowed(&order.wanted(called.clone(), variables.clone())) {
            tracing::info!(campaign.id = %row.id, why = why.says(), "a number is not called back");
            return Ok(Err("this number may not be called".into()));
        }
        let zone = order.open.zone().to_owned();
        let new = NewCallBack { target: self.numbers.target(&called), called, zone, variables, due };
        let bounds = CallBackBounds {
            waiting: i64::try_from(self.campaigns.lines).unwrap_or(i64::MAX),
            since: a_day_before(Stamp::now()),
            often: OFTEN,
        };
        let why = match self.written_down(row.id, new, bounds).await? {
            CallBackAdded::At(line) => {
                self.changed.notify_one();
                return Ok(Ok((CallBack { campaign: row.id, line, due }, shown)));
            }
            CallBackAdded::NotRunning => "calls back are not placed now",
            CallBackAdded::Unwanted => "this number is on the list of those that are not called",
            CallBackAdded::Full => "too many wait to be called back",
            CallBackAdded::Often => "this number is called back often enough within a day",
        };
        Ok(Err(why.into()))
    }

    /// Writes a wish down. It is written to its end also where the caller waits no longer: then they were told that a person calls back, and
    /// nobody is called at the line that it got.
    async fn written_down(
        &self,
        campaign: Key,
        new: NewCallBack,
        bounds: CallBackBounds,
    ) -> Result<CallBackAdded, StoreError> {
        let ((told, telling), store) = (oneshot::channel(), self.store.clone());
        // The database's own patience ends it.
        tokio::spawn(async move {
            let added = store.add_call_back(campaign, &new, bounds).await;
            if let Err(Ok(CallBackAdded::At(line))) = told.send(added)
                && let Err(error) = store.drop_call_back(campaign, line).await
            {
                away(&error);
            }
        });
        // It tells in any case but that Milo ends.
        telling.await.unwrap_or(Ok(CallBackAdded::NotRunning))
    }

    /// What the plan that calls is given: those of its variables that the wish, or the call in which it was made, has a value for.
    fn given(&self, order: &Order, wish: &Wish<'_>, value: impl Fn(&str) -> String) -> BTreeMap<String, String> {
        let names = self.calls_out.given(order.plan.as_deref());
        let values = names.into_iter().map(|name| {
            let own = Some(value(&name)).filter(|value| !value.is_empty()).or_else(|| wish.own(&name));
            (name, own.unwrap_or_default())
        });
        values.filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Nobody of this line is called any more: whoever is told of calls hears what came of it, where a caller wanted it.
    pub(super) async fn is_over(&self, campaign: Key, line: i32) {
        match self.store.requests_of(campaign, line).await {
            Ok(requests) => requests.iter().for_each(|request| self.log.called_back(request)),
            Err(error) => away(&error),
        }
    }
}

/// A telephone number, as it is dialled: digits, and a + before them perhaps. Codes with `*` and `#` order services.
fn telephone(text: &str) -> Option<String> {
    let called = number::written(text).ok()?.replace(['-', '.'], "");
    let digits = called.strip_prefix('+').unwrap_or(&called);
    let is_number = DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(called)
}

/// The moment that was wanted, and how it stands on the clock there.
///
/// # Errors
/// Why nobody is called then.
fn agreed(wanted: &str, zone: &TimeZone, order: &Order) -> Result<(Stamp, String), String> {
    let now = Timestamp::now().to_zoned(zone.clone());
    let moment = heard::moment(wanted, now.datetime()).ok_or("no moment to come was understood: a day and an hour")?;
    let moment = moment.to_zoned(zone.clone()).map_err(|_| "no clock shows this moment")?;
    if moment.timestamp() > now.timestamp().checked_add(FARTHEST).unwrap_or(Timestamp::MAX) {
        return Err("it is too far away".into());
    }
    if order.open.closed(zone, moment.timestamp()).is_some() {
        return Err("nobody is called back at that time".into());
    }
    let shown = moment.strftime("%F %H:%M").to_string();
    Ok((Stamp::from_millis(moment.timestamp().as_millisecond()), shown))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(open: serde_json::Value) -> Order {
        serde_json::from_value(json!({ "name": "n", "standing": true, "open": open })).unwrap()
    }

    #[test]
    fn who_is_called_back_has_a_telephone_number_and_no_code_of_a_service() {
        for (text, called) in [
            ("034 12-345.67", Some("0341234567")),
            ("+261 (0)34 12 345 67", Some("+261341234567")),
            ("12345", Some("12345")),
            ("1234", None),
            ("*100#", None),
            ("**21*0341234567#", None),
            ("0341234567#", None),
            ("++261341234567", None),
            ("1234567890123456", None),
            ("rina", None),
            ("", None),
        ] {
            assert_eq!(telephone(text).as_deref(), called, "{text}");
        }
    }

    #[test]
    fn a_moment_is_one_on_the_clock_of_the_campaign_within_its_hours() {
        let zone = zone_named("Indian/Antananarivo").unwrap();
        let always = order(json!({}));
        let (due, shown) = agreed("rahampitso amin'ny 10 ora", &zone, &always).unwrap();
        let tomorrow = Timestamp::now().to_zoned(zone.clone()).date().tomorrow().unwrap();
        assert_eq!(shown, format!("{tomorrow} 10:00"));
        assert_eq!(due.to_string(), format!("{tomorrow}T07:00:00Z"));
        for (wanted, open, why) in [
            ("rehefa malalaka ianareo", json!({}), "no moment"),
            ("", json!({}), "no moment"),
            ("omaly maraina", json!({}), "no moment"),
            ("afaka roa taona", json!({}), "no moment"),
            ("le 5 janvier 2150 à 10 h", json!({}), "too far away"),
            ("rahampitso amin'ny 10 ora", json!({ "hours": [{ "from": "14:00", "to": "17:00" }] }), "at that time"),
        ] {
            let said = agreed(wanted, &zone, &order(open)).expect_err(wanted);
            assert!(said.contains(why), "{wanted}: {said}");
        }
    }
}
