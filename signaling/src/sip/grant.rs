//! What a registrar grants by its answer (RFC 3261 section 10.2.4, RFC 3608).

use super::{header::NameAddr, headers::Name, message::Message, uri::Uri};

/// The longest time that we ask to be registered for, whatever Min-Expires says, in seconds.
pub(super) const WEEK: u32 = 7 * 86_400;
/// Of a longer Service-Route the rest is left out.
const ROUTES: usize = 8;

/// For how long our Contact is registered by this 200, in seconds (section 10.2.4).
pub(super) fn granted(response: &Message, ours: &str) -> Option<u32> {
    let contacts: Vec<NameAddr> =
        response.headers.get_all(Name::CONTACT).filter_map(|contact| contact.parse().ok()).collect();
    let ours: Option<NameAddr> = ours.parse().ok();
    let same = |contact: &&NameAddr| ours.as_ref().is_some_and(|ours| ours.uri.is_equivalent(&contact.uri));
    // Some registrars behind a NAT give back another Contact than ours.
    let own = contacts.iter().find(same).or(match contacts.as_slice() {
        [only] => Some(only),
        _ => None,
    });
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let own = own.and_then(|contact| number(contact.params.get("expires")?));
    own.or_else(|| number(response.headers.get(Name::EXPIRES)?)).map(|seconds| seconds.min(WEEK))
}

/// The Service-Route of this 200 (RFC 3608 section 5); a route without `lr` is none that it allows.
pub(super) fn service_route(response: &Message) -> Vec<Uri> {
    let fields = response.headers.get_all(Name::SERVICE_ROUTE);
    let routes = fields.filter_map(|route| Some(route.parse::<NameAddr>().ok()?.uri)).take(ROUTES);
    routes.filter(|route| route.as_sip().is_some() && route.has_param("lr")).collect()
}

/// The number that a value begins with: `120 (busy);duration=60`. More than fits is the most.
pub(super) fn leading_number(value: &str) -> u32 {
    let digits: &str = value.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u32::MAX) }
}
