//! The proxies that a REGISTER came by, which calls to its telephone go by (Path, RFC 3327). Whatever stands there, Milo itself sends to
//! where the REGISTER came from and nowhere else: nobody has it send to somebody else's address by it.

use std::{net::IpAddr, sync::Arc};

use crate::sip::{
    header::NameAddr, headers::Name, message::Message, next_hop::is_reached_from, screen::Rejection, uri::Uri,
};

/// The option tag, of whoever registers (section 4).
pub(in crate::sip) const PATH: &str = "path";
/// Proxies before one telephone.
const PROXIES: usize = 8;
/// Bytes of the URI of one: all of them stand in each INVITE.
const LONGEST: usize = 256;

/// The proxies of this REGISTER, the nearest first; none: it came by itself. `is_ours` says that its source is trusted: the proxy is the
/// operator's own.
///
/// # Errors
/// 420 where the telephone does not say that it knows of Path (section 5.3), and the proxy is none of ours; 400 for what cannot be a
/// Route; 403 for a first proxy that is elsewhere than where the REGISTER came from.
pub(super) fn path_of(register: &Message, source: IpAddr, is_ours: bool) -> Result<Arc<[Uri]>, Rejection> {
    let fields: Vec<&str> = register.headers.get_all(Name::PATH).collect();
    let route = |field: &&str| {
        let uri = field.parse::<NameAddr>().ok().filter(|_| field.len() <= LONGEST)?.uri;
        (uri.has_param("lr") && uri.as_sip().is_some_and(|sip| sip.headers.is_none())).then_some(uri)
    };
    let routes: Option<Vec<Uri>> = fields.iter().map(route).collect();
    let Some(routes) = routes.filter(|routes| routes.len() <= PROXIES) else {
        return Err(Rejection { reason: "Path Is Malformed".to_owned(), ..Rejection::new(400) });
    };
    let Some(first) = routes.first().filter(|_| !is_ours) else { return Ok(routes.into()) };
    let says = |name| register.tokens(name).iter().any(|tag| tag.eq_ignore_ascii_case(PATH));
    if !says(Name::SUPPORTED) && !says(Name::REQUIRE) {
        let mut rejection = Rejection::new(420);
        rejection.headers.push((Name::UNSUPPORTED, PATH.to_owned()));
        return Err(rejection);
    }
    // By a name, and by an address that means something in its own network only, a proxy may know itself.
    let named = first.host().and_then(|host| host.ip()).map(|ip| ip.to_canonical());
    let source = source.to_canonical();
    if named.is_some_and(|named| named != source && is_reached_from(source, named)) {
        return Err(Rejection { reason: "Path Leads Elsewhere".to_owned(), ..Rejection::new(403) });
    }
    Ok(routes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::parse;

    /// The proxies, or the status and what is not supported.
    fn path(fields: &str, source: &str, is_ours: bool) -> Result<Vec<String>, (u16, usize)> {
        let text = format!(
            "REGISTER sip:milo SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:rina@milo>;tag=1\r\nTo: <sip:rina@milo>\r\n\
             Call-ID: 1\r\nCSeq: 1 REGISTER\r\n{fields}\r\n\r\n"
        );
        let register = parse(text.as_bytes()).unwrap();
        let path = path_of(&register, source.parse().unwrap(), is_ours);
        path.map(|path| path.iter().map(Uri::to_string).collect()).map_err(|why| (why.code, why.headers.len()))
    }

    #[test]
    fn the_first_proxy_is_where_the_register_came_from() {
        let knows = |path: &str| format!("Supported: gruu, Path\r\nPath: {path}");
        let from = |first: &str, source: &str| path(&knows(first), source, false).map(|path| path.len());
        assert_eq!(from("<sip:203.0.113.5:5070;lr>", "203.0.113.5"), Ok(1));
        assert_eq!(from("<sip:[2001:db8::5];lr>", "2001:db8::5"), Ok(1));
        assert_eq!(from("<sip:203.0.113.5;lr>", "::ffff:203.0.113.5"), Ok(1));
        assert_eq!(from("<sip:203.0.113.6;lr>", "203.0.113.5"), Err((403, 0)));
        assert_eq!(from("<sip:[2001:db8::6];lr>", "203.0.113.5"), Err((403, 0)));
        assert_eq!(from("<sip:10.0.0.6;lr>", "10.0.0.5"), Err((403, 0)));
        // What it calls itself behind its own NAT, or by a name; and what lies behind it is its own affair.
        assert_eq!(from("<sip:10.0.0.5;lr>", "203.0.113.5"), Ok(1));
        assert_eq!(from("<sip:edge.example;lr>", "203.0.113.5"), Ok(1));
        assert_eq!(from("<sip:203.0.113.5;lr>, <sip:198.51.100.7;lr>", "203.0.113.5"), Ok(2));
        assert_eq!(path(&knows("<sip:203.0.113.6;lr>"), "203.0.113.5", true).map(|path| path.len()), Ok(1));
    }

    #[test]
    fn a_path_that_the_telephone_does_not_know_of_is_refused_but_for_a_proxy_of_ours() {
        let field = "Path: <sip:203.0.113.5;lr>";
        assert_eq!(path(field, "203.0.113.5", false), Err((420, 1)));
        assert_eq!(path(field, "203.0.113.5", true), Ok(vec!["sip:203.0.113.5;lr".to_owned()]));
        assert_eq!(path(&format!("Require: path\r\n{field}"), "203.0.113.5", false).map(|path| path.len()), Ok(1));
        assert_eq!(path("Supported: path", "203.0.113.5", false), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_a_route_is_malformed() {
        for wrong in ["nonsense <", "<tel:+2612>", "<sip:203.0.113.5>", "<sip:203.0.113.5;lr?Subject=x>"] {
            assert_eq!(path(&format!("Path: {wrong}"), "203.0.113.5", true), Err((400, 0)), "{wrong}");
        }
        let many = ["<sip:203.0.113.5;lr>"; PROXIES + 1].join(", ");
        assert_eq!(path(&format!("Path: {many}"), "203.0.113.5", true), Err((400, 0)));
        let long = format!("Path: <sip:{}@203.0.113.5;lr>", "x".repeat(LONGEST));
        assert_eq!(path(&long, "203.0.113.5", true), Err((400, 0)));
    }
}
