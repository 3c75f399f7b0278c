//! Where requests to a URI go (RFC 3263): the answers of DNS, put in the order in which they are to be tried. Pure; asking is
//! the resolver's ([`super::resolver`]).

use super::flow::Transport;

/// How many services, servers and places are considered; of more the last are left out.
const CONSIDERED: usize = 16;

/// A NAPTR record, as far as SIP reads it (RFC 3403).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naptr {
    pub(crate) order: u16,
    pub(crate) preference: u16,
    pub(crate) flags: String,
    pub(crate) services: String,
    /// The domain name whose SRV records are meant.
    pub(crate) replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Srv {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    pub(crate) target: String,
}

/// A transport, and the name whose SRV records say who serves it.
pub(crate) type Service = (Transport, String);

/// The services that a domain's NAPTR records name, as it prefers them (RFC 3263 section 4.1): those that we can use, and
/// for a `sips:` URI only what is TLS.
pub(crate) fn services(mut records: Vec<Naptr>, secure: bool) -> Vec<Service> {
    records.sort_by_key(|record| (record.order, record.preference));
    let usable = records.into_iter().filter(|record| record.flags.eq_ignore_ascii_case("s")).filter_map(|record| {
        let transport = match record.services.to_ascii_uppercase().as_str() {
            "SIPS+D2T" => Transport::Tls,
            "SIP+D2T" if !secure => Transport::Tcp,
            "SIP+D2U" if !secure => Transport::Udp,
            _ => return None,
        };
        Some((transport, record.replacement))
    });
    usable.take(CONSIDERED).collect()
}

/// The services to ask for when a domain has no NAPTR record of use, or the URI has named its transport.
pub(crate) fn usual_services(domain: &str, named: Option<Transport>, secure: bool) -> Vec<Service> {
    let wanted = match (named, secure) {
        (_, true) => vec![Transport::Tls],
        (Some(named), _) => vec![named],
        (None, _) => vec![Transport::Udp, Transport::Tcp, Transport::Tls],
    };
    let prefixed = |transport| {
        let prefix = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tls => "_sips._tcp",
            _ => "_sip._tcp",
        };
        (transport, format!("{prefix}.{domain}"))
    };
    wanted.into_iter().map(prefixed).collect()
}

/// Whether these records say that there is no such service at all (RFC 2782, "Target"): a lone root.
pub(crate) fn denies(records: &[Srv]) -> bool {
    matches!(records, [only] if only.target.trim_end_matches('.').is_empty())
}

/// The servers of a service in the order in which they are to be tried (RFC 2782): lower priorities first, and within one
/// drawn by weight. `draw(n)` is a random number from 0 to n, both included. A lone root says that there is no service.
pub(crate) fn servers(mut records: Vec<Srv>, mut draw: impl FnMut(u32) -> u32) -> Vec<Srv> {
    records.retain(|record| !record.target.trim_end_matches('.').is_empty());
    // Records of weight 0 stand first, so that they are drawn when the draw is 0, which is seldom.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len().min(CONSIDERED));
    while let Some(priority) = records.first().map(|record| record.priority)
        && ordered.len() < CONSIDERED
    {
        let mut alike = records.iter().take_while(|record| record.priority == priority);
        let drawn = draw(alike.clone().map(|record| u32::from(record.weight)).sum());
        let mut sum = 0;
        let at = alike.position(|record| {
            sum += u32::from(record.weight);
            sum >= drawn
        });
        ordered.push(records.remove(at.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naptr(order: u16, preference: u16, flags: &str, services: &str) -> Naptr {
        let replacement = format!("{services}.example");
        Naptr { order, preference, flags: flags.to_owned(), services: services.to_owned(), replacement }
    }

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.to_owned() }
    }

    #[test]
    fn naptr_records_are_taken_in_order_where_we_can_use_them() {
        let records = vec![
            naptr(90, 50, "s", "SIP+D2T"),
            naptr(100, 50, "s", "SIP+D2U"),
            naptr(50, 50, "S", "sips+d2t"),
            naptr(90, 10, "s", "SIP+D2S"),
            naptr(10, 10, "u", "E2U+sip"),
        ];
        let transports = |secure| services(records.clone(), secure).into_iter().map(|(kind, _)| kind);
        assert!(transports(false).eq([Transport::Tls, Transport::Tcp, Transport::Udp]));
        assert!(transports(true).eq([Transport::Tls]));
        assert_eq!(services(vec![naptr(1, 1, "s", "SIP+D2T")], false)[0].1, "SIP+D2T.example");
    }

    #[test]
    fn without_naptr_each_transport_has_its_usual_name() {
        let names = |named, secure| usual_services("example.com", named, secure).into_iter().map(|(_, name)| name);
        assert!(names(None, false).eq(["_sip._udp.example.com", "_sip._tcp.example.com", "_sips._tcp.example.com"]));
        assert!(names(Some(Transport::Tcp), false).eq(["_sip._tcp.example.com"]));
        assert!(names(Some(Transport::Tls), true).eq(["_sips._tcp.example.com"]));
    }

    #[test]
    fn servers_come_by_priority_and_are_drawn_by_weight() {
        let records = || vec![srv(20, 0, "last"), srv(10, 60, "often"), srv(10, 40, "seldom"), srv(10, 0, "hardly")];
        let order = |draws: &[u32]| -> Vec<String> {
            let mut draws = draws.iter();
            servers(records(), |_| *draws.next().unwrap()).into_iter().map(|record| record.target).collect()
        };
        assert_eq!(order(&[0, 60, 40, 0]), ["hardly", "often", "seldom", "last"]);
        assert_eq!(order(&[61, 1, 0, 0]), ["seldom", "often", "hardly", "last"]);
        // Over many draws the weights are the shares of those tried first.
        let mut seed = 1_u32;
        let mut first = [0; 3];
        for _ in 0..10_000 {
            let ordered = servers(records(), |most| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) % (most + 1)
            });
            let names = ["often", "seldom", "hardly"];
            first[names.iter().position(|name| *name == ordered[0].target).unwrap()] += 1;
            assert_eq!(ordered[3].target, "last");
        }
        let near = |count: i32, share: i32| (count - share).abs() < 300;
        assert!(near(first[0], 5_940) && near(first[1], 3_960) && near(first[2], 100), "{first:?}");
    }

    #[test]
    fn a_root_is_no_server_and_of_very_many_the_last_are_left_out() {
        assert_eq!(servers(vec![srv(1, 1, ".")], |_| 0), []);
        assert!(denies(&[srv(1, 1, ".")]) && !denies(&[]) && !denies(&[srv(1, 1, "a")]));
        assert_eq!(servers(vec![srv(1, 1, "many"); 1_000], |_| 0).len(), CONSIDERED);
    }
}
