//! The way to names against a name server of our own: real datagrams, hickory between.

use super::*;
use crate::config::sip::{Listen, Sip};
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, Record as Row};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;

/// Answers from these rows; says nothing of names that begin with `mute`. Counts what it is asked.
async fn server(rows: Vec<Row>) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((n, src)) = socket.recv_from(&mut buffer).await {
            let Ok(ask) = Message::from_vec(&buffer[..n]) else { continue };
            let Some(query) = ask.queries.first().cloned() else { continue };
            let name = query.name().to_ascii().to_ascii_lowercase();
            if name.starts_with("mute") {
                continue;
            }
            count.fetch_add(1, Ordering::Relaxed);
            let of_name: Vec<&Row> = rows.iter().filter(|r| r.name.to_ascii().to_ascii_lowercase() == name).collect();
            let mut answer = Message::response(ask.metadata.id, ask.metadata.op_code);
            answer.metadata.message_type = MessageType::Response;
            answer.metadata.recursion_available = true;
            answer.metadata.response_code = if of_name.is_empty() { ResponseCode::NXDomain } else { ResponseCode::NoError };
            answer.add_query(query.clone());
            for row in of_name.into_iter().filter(|r| r.record_type() == query.query_type()) {
                answer.add_answer(row.clone());
            }
            let _gone = socket.send_to(&answer.to_vec().unwrap(), src).await;
        }
    });
    (address, asked)
}

fn row(name: &str, data: RData) -> Row {
    Row::from_rdata(Name::from_ascii(name).unwrap(), 60, data)
}

fn dns(server: SocketAddr, listen: &[&str]) -> Dns {
    let mut sip: Sip = toml::from_str("listen = \"127.0.0.1:5060\"").unwrap();
    sip.listen = Listen::new(listen.iter().map(|a| a.parse().unwrap()).collect());
    sip.dns = Listen::new(vec![server]);
    Dns::of(&sip)
}

fn words(found: Result<Vec<Located>, Nowhere>) -> Vec<String> {
    let hop = |(hop, name): &Located| format!("{hop}{}", name.as_deref().map(|n| format!(" as {n}")).unwrap_or_default());
    found.map_or_else(|nowhere| vec![format!("{nowhere:?}")], |hops| hops.iter().map(hop).collect())
}

fn provider() -> Vec<Row> {
    let name = |n: &str| Name::from_ascii(n).unwrap();
    let naptr = |order, service: &str, to: &str| {
        let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
        RData::NAPTR(NAPTR::new(order, 1, bytes("s"), bytes(service), bytes(""), name(to)))
    };
    vec![
        row("example.test.", naptr(1, "SIPS+D2T", "_sips._tcp.example.test.")),
        row("example.test.", naptr(2, "SIP+D2U", "_sip._udp.example.test.")),
        row("_sips._tcp.example.test.", RData::SRV(SRV::new(1, 1, 5061, name("one.example.test.")))),
        row("_sip._udp.example.test.", RData::SRV(SRV::new(1, 1, 5060, name("two.example.test.")))),
        row("_sip._udp.example.test.", RData::SRV(SRV::new(2, 1, 5070, name("one.example.test.")))),
        row("one.example.test.", RData::A(A::new(192, 0, 2, 1))),
        row("one.example.test.", RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
        row("two.example.test.", RData::A(A::new(192, 0, 2, 2))),
    ]
}

#[tokio::test]
async fn a_domain_leads_to_its_servers_in_order_and_is_remembered() {
    let (address, asked) = server(provider()).await;
    let dns = dns(address, &["127.0.0.1:5060"]);
    let expected = ["192.0.2.1:5061/TLS as example.test", "192.0.2.2:5060", "192.0.2.1:5070"];
    assert_eq!(words(dns.locate_text("sip:2001@Example.Test").await), expected, "no IPv6 where none is spoken");
    let before = asked.load(Ordering::Relaxed);
    assert_eq!(words(dns.clone().locate_text("example.test").await), expected);
    assert_eq!(asked.load(Ordering::Relaxed), before, "nobody was asked again");
    assert_eq!(words(dns.locate_text("sip:two.example.test:5080;transport=tcp").await), ["192.0.2.2:5080/TCP"]);
    assert_eq!(words(dns.locate_text("192.0.2.9").await), ["192.0.2.9:5060"]);
    assert_eq!(words(dns.locate_text("nobody.test").await), ["NoSuchHost"]);
    assert_eq!(words(dns.locate_text("sip:a..b").await), ["NotAnAddress"]);
}

#[tokio::test]
async fn both_families_where_both_are_spoken() {
    let (address, _) = server(provider()).await;
    let dns = dns(address, &["127.0.0.1:5060", "[::1]:5060"]);
    let expected = ["192.0.2.1:5061/TLS as example.test", "[2001:db8::1]:5061/TLS as example.test"];
    assert_eq!(words(dns.locate_text("sips:example.test").await), expected);
}

#[tokio::test]
async fn a_silent_name_server_costs_a_bounded_time() {
    let (address, _) = server(Vec::new()).await;
    let began = tokio::time::Instant::now();
    assert_eq!(words(dns(address, &["127.0.0.1:5060"]).locate_text("sip:mute.test:5060").await), ["Silent"]);
    assert!(began.elapsed() < PATIENCE + Duration::from_secs(1), "{:?}", began.elapsed());
}
