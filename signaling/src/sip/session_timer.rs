//! Session timers (RFC 4028), pure: what the header fields say, what two sides agree on, and when it is time for what.
//!
//! ```text
//!  2xx ──half the interval──► the refresher's INVITE or UPDATE ──2xx──► anew
//!   └──the interval less min(32 s, a third of it)──► nothing came: BYE, from either side
//! ```
//! A peer that knows nothing of session timers is refreshed by us: so a call that it forgot ends here, too.

use std::time::{Duration, Instant};

use super::{
    header::HeaderError,
    headers::Name,
    lexer::{Cursor, Params},
    message::Message,
    screen::Rejection,
};

/// The option tag.
pub const TIMER: &str = "timer";
/// The shortest interval that anybody may ask for, in seconds (section 5).
pub const LEAST_S: u32 = 90;
/// A session is given up this long before its end, or a third of the interval if that is shorter (section 10).
const BEFORE_THE_END: Duration = Duration::from_secs(32);

/// What we want of session timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimers {
    /// The interval that we ask for, and the longest that we take, in seconds.
    pub session_expires_s: u32,
    /// The shortest that we take, in seconds; at least [`LEAST_S`].
    pub min_se_s: u32,
}

impl Default for SessionTimers {
    /// Half an hour, as the RFC recommends, and its least.
    fn default() -> Self {
        Self { session_expires_s: 1800, min_se_s: LEAST_S }
    }
}

/// Who sends the refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresher {
    Us,
    Peer,
}

/// What both sides have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) seconds: u32,
    pub(crate) refresher: Refresher,
    /// The peer knows the extension.
    known: bool,
}

/// A `Session-Expires` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SessionExpires {
    seconds: u32,
    /// The one who sent the request that this field belongs to, or the one who answers it.
    refresher: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Uac,
    Uas,
}

impl Message {
    fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        let Some((seconds, params)) = self.interval(Name::SESSION_EXPIRES)? else { return Ok(None) };
        let refresher = match params.get("refresher") {
            Some(role) if role.eq_ignore_ascii_case("uac") => Some(Role::Uac),
            Some(role) if role.eq_ignore_ascii_case("uas") => Some(Role::Uas),
            _ => None,
        };
        Ok(Some(SessionExpires { seconds, refresher }))
    }

    /// The `Min-SE` field, in seconds.
    pub(crate) fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        Ok(self.interval(Name::MIN_SE)?.map(|(seconds, _)| seconds))
    }

    /// Seconds and parameters; more seconds than a number holds are as many as it holds.
    fn interval(&self, name: Name) -> Result<Option<(u32, Params)>, HeaderError> {
        let Some(value) = self.headers.get(&name) else { return Ok(None) };
        let mut cursor = Cursor::new(value);
        let digits = cursor.take_while(|c| c.is_ascii_digit());
        let params = Params::parse(&mut cursor).filter(|_| !digits.is_empty());
        let params = params.ok_or(HeaderError::Malformed(name))?;
        Ok(Some((digits.parse().unwrap_or(u32::MAX), params)))
    }

    fn knows_timers(&self) -> bool {
        self.tokens(Name::SUPPORTED).iter().any(|tag| tag.eq_ignore_ascii_case(TIMER))
    }
}

impl SessionTimers {
    /// As the one who answers `request` (section 9 and its table 2). `now` is who refreshes so far.
    ///
    /// # Errors
    /// 422 when its interval is too small for us, 400 when it cannot be read.
    pub(crate) fn answer(self, request: &Message, now: Option<Refresher>) -> Result<Terms, Rejection> {
        let known = request.knows_timers();
        let asked = request.session_expires()?;
        if known && asked.is_some_and(|asked| asked.seconds < self.min_se_s) {
            let mut rejection = Rejection::new(422);
            rejection.headers.push((Name::MIN_SE, self.min_se_s.to_string()));
            return Err(rejection);
        }
        // A proxy's field on behalf of a caller who would not understand 422; below the least it is none.
        let asked = asked.filter(|asked| asked.seconds >= LEAST_S);
        let ours = self.session_expires_s.max(request.min_se()?.unwrap_or(LEAST_S));
        let refresher = match asked.and_then(|asked| asked.refresher) {
            _ if !known => Refresher::Us,
            Some(Role::Uac) => Refresher::Peer,
            Some(Role::Uas) => Refresher::Us,
            None => now.unwrap_or(Refresher::Us),
        };
        Ok(Terms { seconds: asked.map_or(ours, |asked| asked.seconds.min(ours)), refresher, known })
    }

    /// As the one who sends `request` (section 7.1); `least` is what a 422 or the configuration wants, in seconds.
    /// Returns the interval that is asked for.
    pub(crate) fn ask(self, request: &mut Message, current: Option<Terms>, least: u32) -> u32 {
        let least = least.max(self.min_se_s);
        let seconds = current.map_or(self.session_expires_s, |terms| terms.seconds).max(least);
        let role = match current.map(|terms| terms.refresher) {
            // Section 7.1: the first time the other side chooses.
            None => "",
            Some(Refresher::Us) => ";refresher=uac",
            Some(Refresher::Peer) => ";refresher=uas",
        };
        request.headers.set(Name::SESSION_EXPIRES, format!("{seconds}{role}"));
        if least > LEAST_S {
            request.headers.set(Name::MIN_SE, least.to_string());
        }
        seconds
    }
}

impl Terms {
    /// Writes what was agreed on into the 2xx that is ours (section 9).
    pub(crate) fn write(self, response: &mut Message) {
        let role = if self.refresher == Refresher::Us { "uas" } else { "uac" };
        response.headers.push(Name::SESSION_EXPIRES, format!("{};refresher={role}", self.seconds));
        if self.known {
            response.headers.push(Name::REQUIRE, TIMER);
        }
    }

    /// What the 2xx to our request of `asked` seconds means (section 7.2). Who says nothing is refreshed by us.
    pub(crate) fn of_response(response: &Message, asked: u32) -> Self {
        match response.session_expires() {
            Ok(Some(said)) => {
                let peer = said.refresher == Some(Role::Uas);
                let refresher = if peer { Refresher::Peer } else { Refresher::Us };
                Self { seconds: said.seconds.max(LEAST_S), refresher, known: true }
            }
            Ok(None) | Err(_) => Self { seconds: asked, refresher: Refresher::Us, known: false },
        }
    }
}

/// When a session is to be refreshed, and when it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) terms: Terms,
    refresh: Refresh,
    end: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    /// It is the peer's turn, or ours is on its way.
    Awaited,
    At(Instant),
    Due,
}

impl Clock {
    /// The session begins, or has just been refreshed.
    pub(crate) fn start(now: Instant, terms: Terms) -> Self {
        let interval = Duration::from_secs(terms.seconds.into());
        let refresh = match terms.refresher {
            Refresher::Us => Refresh::At(now + interval / 2),
            Refresher::Peer => Refresh::Awaited,
        };
        Self { terms, refresh, end: now + interval - BEFORE_THE_END.min(interval / 3) }
    }

    pub(crate) fn deadline(&self) -> Instant {
        match self.refresh {
            Refresh::At(at) => at.min(self.end),
            Refresh::Awaited | Refresh::Due => self.end,
        }
    }

    /// Time has passed. True: nobody has refreshed the session in time.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        // Due it stays until it can be sent.
        self.is_due(now);
        now >= self.end
    }

    /// Whether a refresh of ours is to be sent.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        if matches!(self.refresh, Refresh::At(at) if now >= at) {
            self.refresh = Refresh::Due;
        }
        self.refresh == Refresh::Due
    }

    /// It is on its way.
    pub(crate) fn sent(&mut self) {
        self.refresh = Refresh::Awaited;
    }

    /// It was refused for the time being, and is to be sent again by whoever waits for that.
    pub(crate) fn put_off(&mut self) {
        if self.terms.refresher == Refresher::Us {
            self.refresh = Refresh::Due;
        }
    }

    /// It was refused: tried again when half of what is left is over, unless little is left. A peer that never agreed to a
    /// session timer has shown that it lives, which is all that is wanted of it (RFC 4028 section 7.2).
    pub(crate) fn refused(&mut self, now: Instant) {
        if !self.terms.known {
            *self = Self::start(now, self.terms);
            return;
        }
        let left = self.end.saturating_duration_since(now);
        if self.terms.refresher == Refresher::Us && left > BEFORE_THE_END {
            self.refresh = Refresh::At(now + left / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Method, Uri};

    const OURS: SessionTimers = SessionTimers { session_expires_s: 1800, min_se_s: 120 };

    fn invite(fields: &[(Name, &str)]) -> Message {
        let uri: Uri = "sip:milo@127.0.0.1".parse().unwrap();
        let mut invite = Message::request(Method::Invite, uri);
        for (name, value) in fields {
            invite.headers.push(name, *value);
        }
        invite
    }

    /// Its code and what it says.
    type Refusal = (u16, Vec<(Name, String)>);

    /// What the 2xx to an INVITE with these fields says, or the refusal.
    fn answered(fields: &[(Name, &str)]) -> Result<(String, bool), Refusal> {
        let request = invite(fields);
        let terms = OURS.answer(&request, None).map_err(|rejection| (rejection.code, rejection.headers))?;
        let mut response = Message::response_to(&request, 200, "");
        terms.write(&mut response);
        let said = response.headers.get(Name::SESSION_EXPIRES).unwrap().to_owned();
        Ok((said, response.headers.get(Name::REQUIRE) == Some(TIMER)))
    }

    const KNOWN: (Name, &str) = (Name::SUPPORTED, "100rel, Timer");

    /// Table 2 of the RFC, row by row.
    #[test]
    fn the_refresher_is_chosen_by_the_table() {
        let said = |fields: &[(Name, &str)]| answered(fields).unwrap();
        let expires = |value| (Name::SESSION_EXPIRES, value);
        assert_eq!(said(&[]), ("1800;refresher=uas".to_owned(), false), "unknown to the peer");
        assert_eq!(said(&[expires("600")]), ("600;refresher=uas".to_owned(), false), "a proxy's wish");
        assert_eq!(said(&[KNOWN]), ("1800;refresher=uas".to_owned(), true));
        assert_eq!(said(&[KNOWN, expires("600")]), ("600;refresher=uas".to_owned(), true));
        assert_eq!(said(&[KNOWN, expires("600;refresher=uas")]), ("600;refresher=uas".to_owned(), true));
        assert_eq!(said(&[KNOWN, expires("600 ; Refresher=UAC")]), ("600;refresher=uac".to_owned(), true));
    }

    #[test]
    fn intervals_are_shortened_to_ours_and_never_below_what_the_peer_wants() {
        let seconds = |fields: &[(Name, &str)]| answered(fields).unwrap().0.split(';').next().unwrap().to_owned();
        let expires = |value| (Name::SESSION_EXPIRES, value);
        assert_eq!(seconds(&[KNOWN, expires("7200")]), "1800");
        assert_eq!(seconds(&[KNOWN, expires("7200"), (Name::MIN_SE, "3600")]), "3600");
        assert_eq!(seconds(&[KNOWN, (Name::MIN_SE, "3600")]), "3600", "we ask, the peer's least holds");
        assert_eq!(seconds(&[KNOWN, expires("99999999999999")]), "1800");
        assert_eq!(seconds(&[expires("5")]), "1800", "an interval that is none");
    }

    #[test]
    fn too_small_an_interval_is_422_with_ours() {
        let refused = answered(&[KNOWN, (Name::SESSION_EXPIRES, "119")]).unwrap_err();
        assert_eq!(refused, (422, vec![(Name::MIN_SE, "120".to_owned())]));
        let unreadable = answered(&[KNOWN, (Name::SESSION_EXPIRES, "soon")]).unwrap_err();
        assert_eq!(unreadable.0, 400);
    }

    #[test]
    fn we_ask_and_take_what_is_said() {
        let mut request = invite(&[]);
        let asked = OURS.ask(&mut request, None, 0);
        assert_eq!((asked, request.headers.get(Name::SESSION_EXPIRES)), (1800, Some("1800")));
        assert_eq!(request.headers.get(Name::MIN_SE), Some("120"));
        let answer = |value: &str| {
            let mut response = Message::response_to(&request, 200, "");
            response.headers.push(Name::SESSION_EXPIRES, value);
            let terms = Terms::of_response(&response, asked);
            (terms.seconds, terms.refresher)
        };
        assert_eq!(answer("600;refresher=uas"), (600, Refresher::Peer));
        assert_eq!(answer("600;refresher=uac"), (600, Refresher::Us));
        assert_eq!(answer("600"), (600, Refresher::Us));
        assert_eq!(answer("1"), (90, Refresher::Us));
        let silent = Terms::of_response(&Message::response_to(&request, 200, ""), asked);
        assert_eq!((silent.seconds, silent.refresher), (1800, Refresher::Us));
        for (refresher, role) in [(Refresher::Us, "uac"), (Refresher::Peer, "uas")] {
            let terms = Terms { seconds: 600, refresher, known: true };
            assert_eq!(OURS.ask(&mut request, Some(terms), 900), 900, "what a 422 has said");
            let said = format!("900;refresher={role}");
            assert_eq!(request.headers.get(Name::SESSION_EXPIRES), Some(said.as_str()));
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
    fn half_the_interval_to_the_refresh_and_a_margin_before_the_end() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let terms = |seconds, refresher| Terms { seconds, refresher, known: true };
        let mut ours = Clock::start(start, terms(1800, Refresher::Us));
        assert_eq!(ours.deadline(), after(900));
        assert!(!ours.is_due(after(899)) && ours.is_due(after(900)));
        ours.sent();
        assert_eq!(ours.deadline(), after(1768));
        ours.refused(after(900));
        assert_eq!(ours.deadline(), after(1334));
        assert_eq!(Clock::start(start, terms(1800, Refresher::Peer)).deadline(), after(1768), "32 s before the end");
        assert_eq!(Clock::start(start, terms(90, Refresher::Peer)).deadline(), after(60), "a third before the end");
    }
}
