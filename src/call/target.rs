//! Who is to be called, or sent a text, for somebody who asks: what emergency rules, trunks and addresses make of it.

use milo_signaling::{Transport, Uri};

use super::NotPlaced;
use crate::{
    dialplan::TrunkNames,
    store::Stamp,
    trunk::{CallingAs, Denied, Emergency, Place, Trunk, Trunks, is_number},
};

/// Bytes of an address that is called.
const LONGEST_ADDRESS: usize = 255;

/// Who is to be called.
pub(crate) enum Target<'t> {
    /// A number, over the first of these that takes it.
    Number(Vec<&'t Trunk>, String),
    /// The trunks for emergencies, and their number.
    Emergency(Vec<&'t Trunk>, String),
    Address(Uri),
}

/// Who is to be called where `to` is wanted, over these trunks; `from` is who is to be shown.
///
/// # Errors
/// [`NotPlaced::Wrong`], [`NotPlaced::Forbidden`].
pub(crate) fn target<'t>(
    trunks: &'t Trunks,
    (to, over): (&str, Option<&TrunkNames>),
    from: CallingAs<'_>,
) -> Result<Target<'t>, NotPlaced> {
    let wrong = |says: String| Err(NotPlaced::Wrong(says));
    if to.len() > LONGEST_ADDRESS {
        return wrong(format!("to is longer than {LONGEST_ADDRESS} characters"));
    }
    let number =
        if is_number(to) { to.to_owned() } else { to.parse::<Uri>().map(|uri| uri.user()).unwrap_or_default() };
    match trunks.emergency(&number) {
        None => {}
        Some((number, Emergency::Pass(names))) => {
            let for_help = names.names().iter().filter_map(|name| trunks.named(name)).collect();
            return Ok(Target::Emergency(for_help, number.to_owned()));
        }
        Some((number, Emergency::Refuse | Emergency::Announce(_))) => {
            let says = format!("{number:?} is an emergency number, which Milo does not call ([sip] emergency_calls)");
            return Err(NotPlaced::Forbidden(says));
        }
    }
    if !is_number(to) {
        let uri = to.parse::<Uri>().ok().filter(|uri| uri.as_sip().is_some() && Transport::of_uri(uri).is_ok());
        return match uri {
            Some(_) if over.is_some() => {
                wrong("a number is called over a trunk, and a SIP address over the one that it leads to, if any".into())
            }
            Some(uri) => match trunks.written_at(&uri) {
                Some(trunk) => shown(vec![trunk], from).map(|trunks| Target::Number(trunks, uri.user())),
                None => Ok(Target::Address(uri)),
            },
            None => wrong(format!(
                "to {to:?} is neither a number, such as 0201234567, nor an address that Milo can call, such as \
                 sip:100@192.0.2.7:5060"
            )),
        };
    }
    if let Some(fault) = over.and_then(TrunkNames::fault) {
        return wrong(fault);
    }
    let chosen: Vec<&Trunk> = match over.map(TrunkNames::names) {
        None => match trunks.ways_out().collect::<Vec<_>>().as_slice() {
            [only] => vec![*only],
            [] => return wrong("a number is called over a trunk, and there is none with a gateway".into()),
            _ => return wrong("there are several trunks: say by `trunk` which of them, or a list of them".into()),
        },
        Some(names) => {
            if let Some(name) = names.iter().find(|name| trunks.named(name).is_none()) {
                return wrong(format!("trunk {name:?} is not the name of one of [[sip.trunks]]"));
            }
            names.iter().filter_map(|name| trunks.named(name)).collect()
        }
    };
    shown(chosen, from).map(|trunks| Target::Number(trunks, number))
}

/// These trunks, where one of them shows who calls.
fn shown<'t>(chosen: Vec<&'t Trunk>, from: CallingAs<'_>) -> Result<Vec<&'t Trunk>, NotPlaced> {
    if let Some(id) = from.said()
        && !chosen.iter().any(|trunk| trunk.shows(from))
    {
        let name = chosen.first().map_or("", |trunk| trunk.name());
        return Err(NotPlaced::Wrong(format!(
            "caller_id {id:?} is none of those that the trunk {name:?} may show: its username, caller_id and caller_ids"
        )));
    }
    Ok(chosen)
}

/// The first of these trunks that takes a call now, and the place that it gives; those before it, and why not.
pub(crate) fn first<'t>(
    trunks: &[&'t Trunk],
    number: &str,
    from: CallingAs<'_>,
    passed: &mut Vec<(&'t str, Denied)>,
) -> Result<(usize, Place), NotPlaced> {
    for (at, trunk) in trunks.iter().enumerate() {
        match trunk.admit(number, from) {
            Ok(place) => return Ok((at, place)),
            Err(denied) => passed.push((trunk.name(), denied)),
        }
    }
    // What the last of them says, unless another has room again soon.
    let told = passed.iter().find(|(_, denied)| denied.passes()).or(passed.last());
    Err(told.map_or_else(|| NotPlaced::Wrong("no trunk is named".into()), |(name, denied)| refusal(*denied, name)))
}

/// What somebody is told whose call a trunk does not take.
pub(crate) fn refusal(denied: Denied, trunk: &str) -> NotPlaced {
    match denied {
        Denied::Full => NotPlaced::Busy(format!("the trunk {trunk:?} carries as many calls as it may (max_calls)"), 5),
        Denied::Pace => NotPlaced::TooMany(
            format!("calls over the trunk {trunk:?} begin as fast as they may (calls_per_second)"),
            1,
        ),
        Denied::Destination => {
            NotPlaced::Forbidden(format!("such a number is not called over the trunk {trunk:?} (its allow and deny)"))
        }
        Denied::CallsOfDay => NotPlaced::TooMany(
            format!("the trunk {trunk:?} has carried as many calls as it may today, UTC (calls_per_day)"),
            tomorrow(),
        ),
        Denied::MinutesOfDay => NotPlaced::TooMany(
            format!("the trunk {trunk:?} has carried as many minutes as it may today, UTC (minutes_per_day)"),
            tomorrow(),
        ),
        Denied::Down => NotPlaced::Busy(format!("the trunk {trunk:?} does not answer"), 30),
        Denied::NoGateway => NotPlaced::Wrong(format!("the trunk {trunk:?} has no gateway to call out through")),
        Denied::CallerId => NotPlaced::Wrong(format!("the trunk {trunk:?} does not show this caller_id")),
        // Said of calls that come, and of what is asked for within a call.
        Denied::Address => NotPlaced::Forbidden("such an address is not called for others".into()),
        Denied::Account => NotPlaced::Forbidden("the account does not call this number".into()),
    }
}

/// The seconds until the next day begins, UTC.
fn tomorrow() -> u64 {
    const DAY: i64 = 24 * 3_600;
    (DAY - (Stamp::now().millis() / 1_000).rem_euclid(DAY)).unsigned_abs()
}
