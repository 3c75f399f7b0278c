//! A dialog (RFC 3261 section 12): the two tags, the two CSeq series, the route set and the remote target. It knows no
//! INVITE and no time.

use super::{
    flow::Flow,
    header::{HeaderError, NameAddr},
    headers::Name,
    message::Message,
    method::Method,
    next_hop::Found,
    uri::Uri,
};

/// The state that every request within a dialog is made from.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    /// Empty for a peer of RFC 2543 that sets none.
    pub(crate) remote_tag: String,
    /// Our From, as it stands in requests.
    local: String,
    /// Our To, as it stands in requests.
    remote: String,
    local_seq: u32,
    remote_seq: Option<u32>,
    /// Where the peer wants requests sent: its last Contact.
    pub(crate) target: Uri,
    pub(super) routes: Vec<NameAddr>,
    /// Our Contact.
    pub(crate) contact: String,
    /// The path of the peer's last message.
    pub(crate) flow: Flow,
    pub(super) peer: Peer,
    /// The stream of that path is no more.
    pub(super) is_cut: bool,
    /// What DNS has said of the next hop.
    pub(super) found: Option<Found>,
}

/// What decides whether the peer is where it says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// It sent its last message itself: no proxy stands between.
    pub(super) direct: bool,
    /// It is a telephone, whose address a NAT may have changed on the way, whatever it says of itself.
    pub(super) is_telephone: bool,
    /// It has shown that it hears us: it knows the tag that it was told.
    pub(super) hears: bool,
}

/// How a request's CSeq stands to those before (RFC 3261 section 12.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Higher than all before, by however much.
    Next,
    /// Lower or equal: to be answered 500.
    Stale,
}

impl Dialog {
    /// The dialog that our response to `invite` creates (section 12.1.1).
    ///
    /// # Errors
    /// A header field that the dialog needs is missing or malformed; the INVITE deserves 400.
    pub(crate) fn of_server(
        invite: &Message,
        local_tag: String,
        flow: Flow,
        contact: String,
    ) -> Result<Self, HeaderError> {
        let from = invite.from()?;
        let target = invite.contact()?.ok_or(HeaderError::Missing(Name::CONTACT))?;
        let mut local = invite.to()?;
        local = local.with_tag(&local_tag);
        Ok(Self {
            call_id: invite.call_id()?.to_owned(),
            remote_tag: from.tag().unwrap_or_default().to_owned(),
            local: local.to_string(),
            remote: invite.headers.get(Name::FROM).unwrap_or_default().to_owned(),
            local_tag,
            local_seq: 0,
            remote_seq: Some(invite.cseq()?.0),
            target: target.uri,
            routes: invite.record_routes()?,
            contact,
            flow,
            peer: Peer { direct: invite.headers.get_all(Name::VIA).count() == 1, ..Peer::default() },
            is_cut: false,
            found: None,
        })
    }

    /// The dialog that a response with a To tag to our `invite` creates (section 12.1.2).
    ///
    /// # Errors
    /// A header field that the dialog needs is missing or malformed.
    pub(crate) fn of_client(invite: &Message, response: &Message, flow: Flow) -> Result<Self, HeaderError> {
        let mut routes = response.record_routes()?;
        routes.reverse();
        let target = match response.contact()? {
            Some(contact) => contact.uri,
            // A 2xx must have one; a peer that forgot it is still reached where the INVITE went.
            None => invite.uri().cloned().ok_or(HeaderError::Missing(Name::CONTACT))?,
        };
        Ok(Self {
            call_id: invite.call_id()?.to_owned(),
            local_tag: invite.from()?.tag().unwrap_or_default().to_owned(),
            remote_tag: response.to()?.tag().unwrap_or_default().to_owned(),
            local: invite.headers.get(Name::FROM).unwrap_or_default().to_owned(),
            remote: response.headers.get(Name::TO).unwrap_or_default().to_owned(),
            local_seq: invite.cseq()?.0,
            remote_seq: None,
            target,
            // Whether proxies stood between cannot be seen from a response.
            peer: Peer { hears: true, ..Peer::default() },
            is_cut: false,
            found: None,
            routes,
            contact: invite.headers.get(Name::CONTACT).unwrap_or_default().to_owned(),
            flow,
        })
    }

    /// The same with a telephone, or not.
    pub(crate) fn with_telephone(self, is_telephone: bool) -> Self {
        Self { peer: Peer { is_telephone, ..self.peer }, ..self }
    }

    /// Whether this address is where the peer knows us: at the host of our own address or of our Contact.
    pub(crate) fn is_at_ours(&self, address: &Uri) -> bool {
        let at = |uri: &Uri| {
            let sip = uri.as_sip()?;
            Some((sip.host.to_string().to_ascii_lowercase(), sip.port.unwrap_or(5060)))
        };
        let ours = [&self.local, &self.contact].into_iter().filter_map(|field| field.parse::<NameAddr>().ok());
        let there = at(address);
        there.is_some() && ours.into_iter().any(|own| at(&own.uri) == there)
    }

    /// Notes a request of the peer: its CSeq, and the path it came on.
    pub(crate) fn receive(&mut self, request: &Message, flow: Flow) -> Result<Order, HeaderError> {
        let (number, method) = request.cseq()?;
        // The ACK bears the number of its INVITE, and a CANCEL that of what it cancels.
        if !matches!(method, Method::Ack | Method::Cancel) {
            if self.remote_seq.is_some_and(|last| number <= last) {
                return Ok(Order::Stale);
            }
            self.remote_seq = Some(number);
        }
        self.flow = flow;
        self.is_cut = false;
        self.peer.hears = true;
        self.peer.direct = request.headers.get_all(Name::VIA).count() == 1;
        Ok(Order::Next)
    }

    /// Takes the target of a target refresh request or its response (section 12.2).
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Ok(Some(contact)) = message.contact() {
            self.target = contact.uri;
        }
    }

    /// A 2xx confirms this dialog, which was early: the route set is that of the 2xx (section 13.2.2.4).
    ///
    /// # Errors
    /// A header field that the dialog needs is malformed.
    pub(crate) fn confirm(&mut self, response: &Message) -> Result<(), HeaderError> {
        let mut routes = response.record_routes()?;
        routes.reverse();
        self.routes = routes;
        self.refresh_target(response);
        Ok(())
    }

    /// A new request within the dialog, complete but for its Via (section 12.2.1.1).
    pub(crate) fn request(&mut self, method: Method) -> Message {
        self.local_seq += 1;
        self.build(method, self.local_seq)
    }

    /// Gives a request that is sent again the next number.
    pub(crate) fn renumber(&mut self, request: &mut Message) {
        self.local_seq += 1;
        let method = request.method().map_or("", Method::as_str);
        let number = format!("{} {method}", self.local_seq);
        request.headers.set(Name::CSEQ, number);
    }

    /// The ACK of the 2xx to our INVITE of this number (section 13.2.2.4), complete but for its Via.
    pub(crate) fn ack(&self, number: u32) -> Message {
        self.build(Method::Ack, number)
    }

    fn build(&self, method: Method, number: u32) -> Message {
        let mut routes = self.routes.clone();
        let mut uri = self.target.clone();
        if let Some(first) = routes.first()
            && !first.uri.has_param("lr")
        {
            // A strict router: it finds itself in the Request-URI, and the target at the end of the route.
            uri = routes.remove(0).uri;
            routes.push(NameAddr::new(self.target.clone()));
        }
        if let Uri::Sip(sip) = &mut uri {
            // Not allowed in a Request-URI (section 19.1.1).
            sip.headers = None;
            sip.params.remove("method");
        }
        let mut request = Message::request(method.clone(), uri);
        request.headers.push(Name::MAX_FORWARDS, "70");
        for route in routes {
            request.headers.push(Name::ROUTE, route.to_string());
        }
        request.headers.push(Name::FROM, self.local.as_str());
        request.headers.push(Name::TO, self.remote.as_str());
        request.headers.push(Name::CALL_ID, self.call_id.as_str());
        request.headers.push(Name::CSEQ, format!("{number} {method}"));
        request.headers.push(Name::CONTACT, self.contact.as_str());
        request
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::sip::flow::Transport;

    fn flow(remote: &str) -> Flow {
        Flow {
            transport: Transport::Udp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
            connection: None,
        }
    }

    fn invite(vias: usize, extra: &[(Name, &str)]) -> Message {
        let mut invite = Message::request(Method::Invite, "sip:milo@192.0.2.1".parse().unwrap());
        for via in 0..vias {
            invite.headers.push(Name::VIA, format!("SIP/2.0/UDP 198.51.100.{via};branch=z9hG4bK{via}"));
        }
        invite.headers.push(Name::FROM, "\"Rasoa\" <sip:rasoa@example.mg>;tag=r");
        invite.headers.push(Name::TO, "<sip:milo@192.0.2.1>");
        invite.headers.push(Name::CALL_ID, "c@example.mg");
        invite.headers.push(Name::CSEQ, "7 INVITE");
        for (name, value) in extra {
            invite.headers.push(name, *value);
        }
        invite
    }

    pub(in crate::sip) fn server(vias: usize, source: &str, extra: &[(Name, &str)]) -> Dialog {
        let contact = "<sip:milo@192.0.2.1>".to_owned();
        let mut dialog = Dialog::of_server(&invite(vias, extra), "l".to_owned(), flow(source), contact).unwrap();
        let mut ack = invite(vias, extra);
        ack.headers.set(Name::CSEQ, "7 ACK");
        assert_eq!(dialog.receive(&ack, flow(source)), Ok(Order::Next));
        dialog
    }

    fn request(number: u32, method: Method) -> Message {
        let mut request = Message::request(method.clone(), "sip:milo@192.0.2.1".parse().unwrap());
        request.headers.push(Name::CSEQ, format!("{number} {method}"));
        request
    }

    #[test]
    fn request_mirrors_the_invite() {
        let mut dialog = server(1, "198.51.100.9:5060", &[(Name::CONTACT, "<sip:rasoa@198.51.100.9:5080>")]);
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri().unwrap().to_string(), "sip:rasoa@198.51.100.9:5080");
        assert_eq!(bye.headers.get(Name::FROM), Some("<sip:milo@192.0.2.1>;tag=l"));
        assert_eq!(bye.headers.get(Name::TO), Some("\"Rasoa\" <sip:rasoa@example.mg>;tag=r"));
        assert_eq!(bye.headers.get(Name::CSEQ), Some("1 BYE"));
        assert_eq!(dialog.path().flow.remote, "198.51.100.9:5080".parse::<SocketAddr>().unwrap());
    }

    #[test]
    fn loose_routes_keep_the_target_and_go_to_the_first_route() {
        let extra = [
            (Name::RECORD_ROUTE, "<sip:203.0.113.1;lr>"),
            (Name::RECORD_ROUTE, "<sip:203.0.113.2:5062;lr>"),
            (Name::CONTACT, "<sip:rasoa@10.0.0.9>"),
        ];
        let mut dialog = server(3, "203.0.113.1:5060", &extra);
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri().unwrap().to_string(), "sip:rasoa@10.0.0.9");
        let routes: Vec<_> = bye.headers.get_all(Name::ROUTE).collect();
        assert_eq!(routes, ["<sip:203.0.113.1;lr>", "<sip:203.0.113.2:5062;lr>"]);
        assert_eq!(dialog.path().flow.remote, "203.0.113.1:5060".parse::<SocketAddr>().unwrap());
    }

    #[test]
    fn strict_router_finds_itself_in_the_request_uri() {
        let extra = [
            (Name::RECORD_ROUTE, "<sip:203.0.113.1>"),
            (Name::RECORD_ROUTE, "<sip:203.0.113.2;lr>"),
            (Name::CONTACT, "<sip:rasoa@198.51.100.9>"),
        ];
        let mut dialog = server(3, "203.0.113.1:5060", &extra);
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri().unwrap().to_string(), "sip:203.0.113.1");
        let routes: Vec<_> = bye.headers.get_all(Name::ROUTE).collect();
        assert_eq!(routes, ["<sip:203.0.113.2;lr>", "<sip:rasoa@198.51.100.9>"]);
        assert_eq!(dialog.path().flow.remote, "203.0.113.1:5060".parse::<SocketAddr>().unwrap());
    }

    #[test]
    fn client_reverses_the_record_routes() {
        let mut response = Message::response_to(&invite(1, &[]), 200, "");
        response.headers.set(Name::TO, "<sip:milo@192.0.2.1>;tag=m");
        response.headers.push(Name::RECORD_ROUTE, "<sip:203.0.113.2;lr>");
        response.headers.push(Name::RECORD_ROUTE, "<sip:203.0.113.1;lr>");
        response.headers.push(Name::CONTACT, "<sip:milo@198.51.100.4>");
        let dialog = Dialog::of_client(&invite(1, &[]), &response, flow("203.0.113.1:5060")).unwrap();
        let ack = dialog.ack(7);
        let routes: Vec<_> = ack.headers.get_all(Name::ROUTE).collect();
        assert_eq!(routes, ["<sip:203.0.113.1;lr>", "<sip:203.0.113.2;lr>"]);
        assert_eq!(ack.headers.get(Name::CSEQ), Some("7 ACK"));
        assert_eq!(ack.headers.get(Name::TO), Some("<sip:milo@192.0.2.1>;tag=m"));
    }

    #[test]
    fn cseq_may_jump_and_must_not_fall_back() {
        let mut dialog = server(1, "198.51.100.9:5060", &[(Name::CONTACT, "<sip:r@198.51.100.9>")]);
        let here = flow("198.51.100.9:5060");
        assert_eq!(dialog.receive(&request(4_000_000, Method::Options), here), Ok(Order::Next));
        assert_eq!(dialog.receive(&request(4_000_000, Method::Bye), here), Ok(Order::Stale));
        assert_eq!(dialog.receive(&request(8, Method::Bye), here), Ok(Order::Stale));
        assert_eq!(dialog.receive(&request(7, Method::Ack), here), Ok(Order::Next));
        assert_eq!(dialog.receive(&request(4_000_001, Method::Bye), here), Ok(Order::Next));
    }

    #[test]
    fn invite_without_contact_makes_no_dialog() {
        let error = Dialog::of_server(&invite(1, &[]), "l".to_owned(), flow("198.51.100.9:5060"), String::new());
        assert_eq!(error.unwrap_err(), HeaderError::Missing(Name::CONTACT));
    }
}
