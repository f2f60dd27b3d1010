//! The machines of a gateway as its configuration wants them: sockets of its legs, the board of its lines, its calls.

use crate::call::{self, Addresses, Gateway, LegSockets};
use crate::config::gateway::GatewayConfig;
use crate::digit_map::DigitMap;
use crate::dtls;
use crate::id::PortId;
use crate::line::LineConfig;
use crate::negotiate::{MediaPolicy, T38Policy};
use crate::number::Number;
use crate::resolve::Resolver;
use crate::shell::identity_key::Keys;
use crate::shell::media_thread::LegSocketSet;
use crate::shell::routes_file::RoutesFile;
use crate::shell::{clock, sip_accounts, sys};
use crate::sip::Endpoint;
use crate::tick::Board;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tipring_dsp::tone_plan::TonePlan;

pub(super) fn leg_sockets(config: &GatewayConfig) -> io::Result<Vec<LegSocketSet>> {
    let ip = config.sip.main().ip();
    let bind = |port: u16| {
        sys::udp_socket(SocketAddr::new(ip, port), config.media.dscp)
            .and_then(|s| sys::stamps::enable(&s).map(|()| s))
            .map_err(|e| io::Error::new(e.kind(), format!("UDP {ip}:{port}: {e}")))
    };
    let first = config.media.ports[0];
    let wanted = config.legs_used();
    (0..wanted as u16)
        .map(|i| Ok(LegSocketSet { rtp: bind(first + 4 * i)?, rtcp: bind(first + 4 * i + 1)?, udptl: bind(first + 4 * i + 2)? }))
        .collect()
}

pub(super) fn build_board(config: &GatewayConfig, legs: usize) -> Board {
    let tones = TonePlan::of(&config.line.country).expect("the configuration was checked");
    let map = DigitMap::parse(&config.line.digit_map, &config.emergency_numbers()).expect("the configuration was checked");
    let map = Arc::new(map.with_codes(config.caller_id_codes()));
    let lines = config.ports.iter().map(|_| {
        let mut line = LineConfig::new(tones, map.clone());
        line.timeouts.first_digit_ms = config.line.first_digit_ms;
        line.timeouts.inter_digit_ms = config.line.inter_digit_ms;
        line.pulse_dialling = config.line.pulse_dialling;
        line
    });
    Board::new(lines.collect(), config.line.echo_places, legs, u64::from(config.media.watchdog_s) * 1000)
}

/// Where peers would reach us, had this machine an address.
pub(super) fn nowhere(config: &GatewayConfig) -> Addresses {
    let main = config.sip.main();
    let ip = if main.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    Addresses { contacts: vec![crate::sip::Hop::udp(SocketAddr::new(ip, main.port()))], media: ip, outside: None }
}

/// What we show in handshakes.
pub(super) fn certificate(keys: &Keys) -> dtls::Certificate {
    dtls::Certificate::new(keys.current.certificate().to_vec(), keys.current.private_key().to_vec())
}

/// Our certificate for handshakes, and the engines: our own gateways have ECDSA keys, which dimpl reads (DTLS 1.3); anybody else may have RSA.
fn security(config: &GatewayConfig, keys: &Keys) -> call::SecurityConfig {
    call::SecurityConfig {
        media: config.security.media.policy(),
        identity: config.identity.policy(),
        certificate: config.security.dtls.0.then(|| Arc::new(certificate(keys))),
        private_signalling: false,
        engine: Arc::new(|known, _| match known {
            true => Box::new(dtls::Dimpl),
            false => Box::new(crate::shell::dtls_openssl::OpenSsl),
        }),
    }
}

pub(super) fn build_gateway(config: &GatewayConfig, routes: &RoutesFile, at: &Addresses, keys: &Keys) -> Gateway {
    let ports = sip_accounts::ports(config);
    let numbers: BTreeMap<Number, PortId> =
        ports.iter().enumerate().filter_map(|(i, p)| p.number.clone().map(|n| (n, PortId(i as u16)))).collect();
    let answer_limit = config.directory.as_ref().map_or(1500, |d| d.lookup_timeout_ms) + 500;
    let mut resolver = Resolver::new(numbers, Number::parse(&config.line.echo_number).ok(), routes.cache(), answer_limit);
    if let Some(directory) = &config.directory {
        resolver.set_route_life(directory.routes_days);
    }
    resolver.set_prefix_routes(crate::config::accounts::prefix_routes(config).0);
    let ip = at.media;
    let first = config.media.ports[0];
    let legs = config.legs_used() as u16;
    let leg = |i: u16| LegSockets { rtp: SocketAddr::new(ip, first + 4 * i), udptl: SocketAddr::new(ip, first + 4 * i + 2) };
    let m = &config.media;
    let t38 = m.t38.then_some(T38Policy {
        max_datagram: m.t38_max_datagram,
        redundancy_control: m.t38_redundancy_control,
        redundancy_image: m.t38_redundancy_image,
        ecm: m.t38_ecm,
    });
    let media = MediaPolicy {
        laws: m.codecs.iter().filter_map(|c| crate::negotiate::law(c)).collect(),
        jitter_max_ms: m.jitter_max_ms,
        watchdog_ms: m.watchdog_s * 1000,
        t38,
    };
    let settings = call::Config {
        ports,
        services: config.line.echo_places,
        legs: (0..legs).map(leg).collect(),
        media: media.clone(),
        emergency: config.emergency_plan(),
        accounts: sip_accounts::configs(config),
        codes: config.caller_id_codes(),
        no_answer_ms: u64::from(config.line.no_answer_s) * 1000,
        learned_silence_ms: config.line.learned_silence_ms,
        calls_max: config.line.calls_max,
        security: security(config, keys),
    };
    let user_agent = crate::sip::Config::new(at.contacts[0].addr, format!("tipring/{}", env!("CARGO_PKG_VERSION")));
    let endpoint = crate::sip::Config {
        contacts: at.contacts.clone(),
        t38: config.media.t38,
        trusted: config.sip.trusted_networks(),
        session_expires_s: config.sip.session_interval_s(),
        ..user_agent
    };
    let mut sip = Endpoint::new(endpoint, clock::random::<32>());
    let identifier = Some(keys.current.fingerprint());
    sip.set_capabilities(crate::negotiate::capabilities(&media, identifier, SocketAddr::new(ip, 0)));
    Gateway::new(settings, sip, resolver, clock::random::<32>())
}
