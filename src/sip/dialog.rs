//! What two ends of a dialog keep about each other (RFC 3261 s.12): tags, numbers, route set, remote target.

use super::hop::{Hop, Target, Transport};
use super::message::{Message, Method, NameAddr, Uri};
use super::network::is_private;

/// One dialog, early or confirmed. The remote tag is part of it from the start: a fork is another `Dialog`.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: Vec<u8>,
    /// From of our requests, with our tag.
    local: Vec<u8>,
    /// To of our requests, with the peer's tag.
    remote: Vec<u8>,
    remote_tag: Vec<u8>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    route_set: Vec<Vec<u8>>,
    target: Vec<u8>,
    /// Where the peer was last seen.
    flow: Target,
    /// The peer is seen under another address than it gives: the flow is the way to it.
    by_flow: bool,
}

impl Dialog {
    /// The dialog that a response to our INVITE makes (s.12.1.2). `source` is whence it came, with the domain that the server proved.
    pub fn from_response(request: &Message, response: &Message, source: Target) -> Dialog {
        let mut route_set: Vec<Vec<u8>> = response.headers.values("Record-Route").map(<[u8]>::to_vec).collect();
        route_set.reverse();
        let target = match (response.contact(), &request.start) {
            (Some(contact), _) => contact.uri.request_uri().to_vec(),
            (None, super::message::StartLine::Request { uri, .. }) => uri.clone(),
            (None, super::message::StartLine::Response { .. }) => Vec::new(),
        };
        Dialog {
            call_id: request.call_id().unwrap_or_default().to_vec(),
            local: request.headers.get("From").unwrap_or_default().to_vec(),
            remote: response.headers.get("To").unwrap_or_default().to_vec(),
            remote_tag: response.to().ok().and_then(|t| t.tag().map(<[u8]>::to_vec)).unwrap_or_default(),
            local_cseq: request.cseq().map_or(1, |c| c.number),
            remote_cseq: None,
            route_set,
            target,
            by_flow: response
                .contact()
                .and_then(|c| Hop::of_uri(&c.uri))
                .is_some_and(|h| is_private(h.addr.ip()) && !is_private(source.0.addr.ip())),
            flow: source,
        }
    }

    /// The dialog that an INVITE to us makes (s.12.1.1).
    pub fn from_request(request: &Message, local_tag: &[u8], source: Hop) -> Dialog {
        let mut local = request.to().unwrap_or_else(|_| NameAddr::new(Uri::sip("", source.addr)));
        local.params.set("tag", local_tag);
        let from = request.from().ok();
        Dialog {
            call_id: request.call_id().unwrap_or_default().to_vec(),
            local: local.emit(),
            remote: request.headers.get("From").unwrap_or_default().to_vec(),
            remote_tag: from.as_ref().and_then(|f| f.tag().map(<[u8]>::to_vec)).unwrap_or_default(),
            local_cseq: 0,
            remote_cseq: request.cseq().ok().map(|c| c.number),
            route_set: request.headers.values("Record-Route").map(<[u8]>::to_vec).collect(),
            target: request.contact().or(from).map(|c| c.uri.request_uri().to_vec()).unwrap_or_default(),
            flow: (source, None),
            by_flow: !request.top_via().is_ok_and(|v| v.is_honest(source.addr)),
        }
    }

    /// Takes a new remote target from a re-INVITE or its 2xx (s.12.2), and notes where the peer is seen.
    pub fn refresh_target(&mut self, message: &Message, source: Hop) {
        if let Some(contact) = message.contact() {
            self.target = contact.uri.request_uri().to_vec();
        }
        if self.flow.0 != source {
            self.flow = (source, None);
        }
    }

    /// Whether a request of the peer comes in its order. Gaps are fine (s.12.2.2).
    pub fn take_remote_cseq(&mut self, number: u32) -> bool {
        if self.remote_cseq.is_some_and(|last| number <= last) {
            return false;
        }
        self.remote_cseq = Some(number);
        true
    }

    /// Goes on with the numbers of the early dialog that this one was, and the requests that were sent in it.
    pub fn continue_from(&mut self, early: &Dialog) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = self.remote_cseq.max(early.remote_cseq);
    }

    /// A number for one more sending of a request that was refused (401, 422).
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq = (self.local_cseq + 1) & 0x7fff_ffff;
        self.local_cseq
    }

    /// The next request in this dialog without Via, Contact and body, and the ways there, the best first.
    pub fn next_request(&mut self, method: Method) -> (Message, Vec<Target>) {
        let number = self.next_cseq();
        self.request(method, number)
    }

    /// The ACK of the 2xx to the INVITE with this number, without Via.
    pub fn ack(&self, cseq: u32) -> (Message, Vec<Target>) {
        self.request(Method::Ack, cseq)
    }

    fn request(&self, method: Method, cseq: u32) -> (Message, Vec<Target>) {
        let first = self.route_set.first().and_then(|r| NameAddr::parse(r).ok());
        let strict = first.as_ref().is_some_and(|r| !r.uri.params.has("lr"));
        let mut routes = self.route_set.clone();
        let mut uri = self.target.clone();
        if let (true, Some(router)) = (strict, &first) {
            // A strict router (RFC 2543) wants itself in the Request-URI and the target last (s.12.2.1.1).
            uri = router.uri.request_uri().to_vec();
            routes.remove(0);
            routes.push([b"<", self.target.as_slice(), b">"].concat());
        }
        let ways = self.ways(first.as_ref());
        let mut message = Message::request(method.clone(), uri).with("Via", "").with("Max-Forwards", "70");
        for route in routes {
            message.headers.push("Route", route);
        }
        let cseq = format!("{cseq} {method}");
        let message = message.with("From", &self.local).with("To", &self.remote).with("Call-ID", &self.call_id).with("CSeq", cseq);
        (message, ways)
    }

    /// The first router, or the remote target; where the peer was last seen should that fail or be no address. A peer behind an address
    /// translator, or on a connection that it opened, is first looked for where it is seen: from outside there may be no other way in.
    fn ways(&self, router: Option<&NameAddr>) -> Vec<Target> {
        let target = match router {
            Some(router) => Some(router.uri.clone()),
            None => Uri::parse(&self.target).ok(),
        };
        let flow = self.flow.0;
        let hop = target.as_ref().and_then(Hop::of_uri).filter(|hop| *hop != flow);
        // A URI that says nothing of transports does not lead from a connection to datagrams. Nothing leads from TLS into the open.
        let silent = |uri: &Uri| !uri.params.has("transport");
        let kept = flow.transport.is_reliable() && hop.is_some_and(|h| !h.transport.is_reliable()) && target.as_ref().is_some_and(silent)
            || flow.transport == Transport::Tls && hop.is_some_and(|h| h.transport != Transport::Tls);
        match hop.filter(|_| !kept) {
            None => vec![self.flow.clone()],
            Some(_) if router.is_none() && self.by_flow && !flow.transport.is_reliable() => vec![self.flow.clone()],
            Some(hop) if router.is_none() && self.by_flow => vec![self.flow.clone(), (hop, None)],
            Some(hop) => vec![(hop, None), self.flow.clone()],
        }
    }

    /// Where the peer was last seen.
    pub fn seen_at(&self) -> Hop {
        self.flow.0
    }

    /// The remote target, if the peer was last seen at just that address, and nothing stands between.
    pub fn seen_target(&self) -> Option<Hop> {
        let target = Uri::parse(&self.target).ok().as_ref().and_then(Hop::of_uri);
        target.filter(|hop| *hop == self.flow.0 && self.route_set.is_empty())
    }

    /// The tag the peer chose.
    pub fn remote_tag(&self) -> &[u8] {
        &self.remote_tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(routes: &str) -> Message {
        let text = format!(
            "INVITE sip:1@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa\r\n{routes}From: <sip:2@192.0.2.9>;tag=f\r\n\
             To: <sip:1@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\nContact: <sip:2@192.0.2.9:5062>\r\n\r\n"
        );
        Message::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn requests_go_to_the_contact_or_through_the_route_set() {
        let source = Hop::udp("192.0.2.9:5060".parse().unwrap());
        let (bye, to) = Dialog::from_request(&invite(""), b"t", source).next_request(Method::Bye);
        assert_eq!(to[0].0.to_string(), "192.0.2.9:5062");
        assert_eq!(bye.headers.get("From"), Some(&b"<sip:1@192.0.2.1>;tag=t"[..]));
        let routes = "Record-Route: <sip:192.0.2.50;lr>, <sip:192.0.2.51;lr>\r\n";
        let (bye, to) = Dialog::from_request(&invite(routes), b"t", source).next_request(Method::Bye);
        assert_eq!((to[0].0.to_string().as_str(), bye.headers.count("Route")), ("192.0.2.50:5060", 2));
        assert_eq!(bye.request_uri().unwrap().as_bytes(), b"sip:2@192.0.2.9:5062");
        let (bye, _) = Dialog::from_request(&invite("Record-Route: <sip:192.0.2.50>\r\n"), b"t", source).next_request(Method::Bye);
        assert_eq!(bye.request_uri().unwrap().as_bytes(), b"sip:192.0.2.50");
        assert_eq!(bye.headers.get("Route"), Some(&b"<sip:2@192.0.2.9:5062>"[..]));
    }

    #[test]
    fn a_peer_behind_a_translator_is_answered_where_it_is_seen() {
        let seen = Hop::udp("198.51.100.4:31000".parse().unwrap());
        assert_eq!(Dialog::from_request(&invite(""), b"t", seen).next_request(Method::Bye).1, [(seen, None)]);
    }

    #[test]
    fn a_peer_that_gives_a_name_is_reached_where_it_is_seen() {
        let seen = Hop::udp("198.51.100.4:31000".parse().unwrap());
        for (contact, routes) in [
            ("<sip:2@phone.example.com>", ""),
            ("<sip:2@192.0.2.9>", "Record-Route: <sip:proxy.example.com;lr>\r\n"),
            ("<sips:2@phone.example.com>", "Record-Route: <sip:proxy.example.com;lr>, <sip:192.0.2.50;lr>\r\n"),
        ] {
            let mut m = invite(routes);
            m.headers.set("Contact", contact);
            let (bye, ways) = Dialog::from_request(&m, b"t", seen).next_request(Method::Bye);
            assert_eq!(ways, [(seen, None)], "{contact} {routes}");
            // The name stands where it belongs all the same.
            assert_eq!(bye.request_uri().unwrap().as_bytes(), contact.trim_matches(['<', '>']).as_bytes());
            assert_eq!(bye.headers.count("Route"), m.headers.values("Record-Route").count());
        }
        // An address first in the route set is asked, whatever names follow.
        let m = invite("Record-Route: <sip:192.0.2.50;lr>, <sip:proxy.example.com;lr>\r\n");
        assert_eq!(Dialog::from_request(&m, b"t", seen).next_request(Method::Bye).1[0].0.to_string(), "192.0.2.50:5060");
    }

    #[test]
    fn a_connection_is_used_before_a_new_one_is_opened_and_tls_stays_tls() {
        let ways = |contact: &str, seen: Hop| {
            let mut m = invite("");
            m.headers.set("Contact", contact);
            let ways = Dialog::from_request(&m, b"t", seen).next_request(Method::Bye).1;
            ways.iter().map(|w| w.0.to_string()).collect::<Vec<_>>().join(" ")
        };
        let (tcp, tls) = ("192.0.2.9:40000".parse().map(Hop::tcp).unwrap(), "192.0.2.9:40000".parse().map(Hop::tls).unwrap());
        assert_eq!(ways("<sip:2@192.0.2.9:5062;transport=tcp>", tcp), "192.0.2.9:40000/TCP 192.0.2.9:5062/TCP");
        assert_eq!(ways("<sip:2@192.0.2.9:5062>", tls), "192.0.2.9:40000/TLS");
        assert_eq!(ways("<sips:2@192.0.2.9>", tls), "192.0.2.9:40000/TLS 192.0.2.9:5061/TLS");
        assert_eq!(ways("<sip:2@phone.example.com;transport=tcp>", tcp), "192.0.2.9:40000/TCP");
    }

    #[test]
    fn headers_in_a_contact_do_not_get_into_the_request_line() {
        let mut m = invite("");
        m.headers.set("Contact", b"<sip:2@192.0.2.9:5062;x=y?Route=%3Csip:evil%3E>");
        let (bye, _) = Dialog::from_request(&m, b"t", Hop::udp("192.0.2.9:5060".parse().unwrap())).next_request(Method::Bye);
        assert_eq!(bye.request_uri().unwrap().as_bytes(), b"sip:2@192.0.2.9:5062;x=y");
    }

    #[test]
    fn the_numbers_of_the_peer_may_have_gaps_and_never_fall() {
        let mut d = Dialog::from_request(&invite(""), b"t", Hop::udp("192.0.2.9:5060".parse().unwrap()));
        assert!(d.take_remote_cseq(9));
        assert!(!d.take_remote_cseq(9) && !d.take_remote_cseq(8));
    }
}
