//! The gateway daemon: composition of the media thread, the calls, the registrations and the local API.
//!
//! One tokio thread runs the event domain. Everything that can happen comes to [`Daemon::run`]'s one `select`: a SIP datagram, events
//! of the board, answers of the directory, a request of the API, a deadline, a signal.

use super::audit_file::Audit;
use super::clock;
use super::csi_file::CsiFile;
use super::enrolment::{self, Enrolled, Enrolling};
use super::gateway_api::{self, Request};
use super::identity_key::{self, Keyring};
use super::media_thread::{self, MediaStats, MediaThread};
use super::own_address::{Look, OwnAddress, Watch};
use super::records::RecordsFile;
use super::registrations::{self, Directory, PortRegistration};
use super::revoked_file::{Revoked, RevokedFile};
use super::routes_file::RoutesFile;
use super::simulate;
use super::sip_accounts;
use super::sip_transport::{self, Incoming, SipTransport};
use super::supervisor::Watchdog;
use crate::audit;
use crate::call::{self, Action, Addresses, Gateway};
use crate::config::error::ConfigError;
use crate::config::gateway::{GatewayConfig, PortKind};
use crate::id::PortId;
use crate::number::Number;
use crate::resolve::QueryId;
use crate::tick::{Command, Event, HandshakeDatagram};
use heapless::spsc::{Consumer, Producer};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;

mod build;
mod revoked;

use build::{build_board, build_gateway, leg_sockets, nowhere};

/// How long a shutdown waits for calls to end and numbers to be given back.
const SHUTDOWN_MS: u64 = 3000;

/// Why a gateway does not start.
#[derive(Debug)]
pub enum StartError {
    /// The file is unusable.
    Config(Vec<ConfigError>),
    /// The system refuses something; what, and why.
    System(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Config(problems) => {
                for (i, p) in problems.iter().enumerate() {
                    write!(f, "{}{p}", if i == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
            StartError::System(words) => f.write_str(words),
        }
    }
}
impl std::error::Error for StartError {}

/// What comes back from a task that spoke with the directory or with DNS.
enum FromDirectory {
    Lookup(QueryId, crate::resolve::Answer),
    Registration(usize, u64, crate::registration::Outcome),
    Located(call::LocateId, Vec<crate::sip::Target>),
    Enrolled(PortId, enrolment::Outcome),
    /// What is revoked there, or why that is not known.
    Revoked(Result<Revoked, String>),
    /// It heard (or did not) how many calls the port has.
    Reported(usize, Option<u8>),
}

/// Counts of the daemon for `status`.
#[derive(Default)]
pub struct Totals {
    /// Calls that ended.
    pub calls: u64,
    /// Of those, completed ones.
    pub completed: u64,
    /// Fax pages confirmed.
    pub fax_pages: u64,
}

/// The running gateway.
pub struct Daemon {
    /// The configuration's name.
    pub name: String,
    /// The configuration.
    pub config: GatewayConfig,
    /// The calls.
    pub gateway: Gateway,
    /// One a port that registers.
    pub registrants: Vec<PortRegistration>,
    /// The media thread's numbers.
    pub media: Arc<MediaStats>,
    /// Counts.
    pub totals: Totals,
    /// What the simulated machines told.
    pub notes: simulate::Notes,
    /// The sockets' and connections' numbers, as of the last request.
    pub sip_counters: sip_transport::Counters,
    /// When it began.
    pub started: crate::clock::Instant,
    commands: Producer<'static, Command>,
    events: Consumer<'static, Event>,
    handshakes: Consumer<'static, HandshakeDatagram>,
    backlog: std::collections::VecDeque<Command>,
    /// The legs' RTP sockets, from which handshakes speak.
    handshake_sockets: Vec<std::net::UdpSocket>,
    routes: RoutesFile,
    csi: CsiFile,
    records: RecordsFile,
    /// Keys that are worth nothing any more.
    revoked: RevokedFile,
    /// They are asked for.
    asks_revoked: bool,
    pub(super) directory: Option<Directory>,
    /// Accounts that the directory made for ports of ours.
    pub(super) enrolled: Enrolled,
    /// Ports that wait for theirs.
    pub(super) enrolling: Vec<Enrolling>,
    pub(super) state: PathBuf,
    own: OwnAddress,
    /// What is remembered for good.
    pub audit: Audit,
    /// What this gateway proves itself with.
    pub keyring: Arc<Keyring>,
    /// Where peers were last told to reach us.
    pub told_address: SocketAddr,
    /// How we see ourselves, where they were told what a NAT makes of it.
    pub(super) private_address: Option<SocketAddr>,
    pub(super) here: Look,
    answers: mpsc::Sender<FromDirectory>,
    dns: super::dns::Dns,
    stopping: Option<crate::clock::Instant>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Turns of the board, and when they were last seen to go on.
    pulse: (u64, crate::clock::Instant),
    watchdog: Watchdog,
    /// What was last logged of each registration.
    told: Vec<String>,
}

/// Runs a gateway until SIGTERM or SIGINT.
pub async fn run(name: String, mut config: GatewayConfig, state: PathBuf) -> Result<(), StartError> {
    let system = |what: &str, e: &dyn std::fmt::Display| StartError::System(format!("{what}: {e}"));
    std::fs::create_dir_all(&state).map_err(|e| system(&state.display().to_string(), &e))?;
    let keyring = Arc::new(Keyring::open(&state, identity_key::GATEWAY).map_err(|e| system("identity", &e))?);
    let audit = Audit::start(&state).map_err(StartError::System)?;
    tell_identity(&keyring, &audit);
    let enrolled = Enrolled::open(&state).map_err(|e| system("state", &e))?;
    let enrolling = enrolled.fill(&mut config);
    let enrolling = enrolment::all(&config, &state, enrolling).map_err(|e| system("directory.enrol", &e))?;
    let (routes, damaged) = RoutesFile::open(&state);
    let (csi, csi_damaged) = CsiFile::open(&state);
    for problem in damaged.into_iter().chain(csi_damaged) {
        tracing::warn!("{problem}");
    }
    let tls = super::tls::Settings::of(&config.sip, &state, &[]);
    for warning in tls.warnings() {
        tracing::warn!("{warning}");
    }
    let mut sip = SipTransport::open(sip_transport::Settings::of(&config.sip, tls)).map_err(StartError::System)?;
    let sockets = leg_sockets(&config).map_err(|e| system("media.ports", &e))?;
    let api =
        tokio::net::TcpListener::bind(config.api.listen).await.map_err(|e| system(&format!("api.listen {}", config.api.listen), &e))?;
    let ports = simulate::ports(&config, &state).map_err(|e| system("port", &e))?;

    let api_of_directory = match &config.directory {
        Some(d) => registrations::address_of(&d.api).await,
        None => None,
    };
    let mut own = OwnAddress::new(sip.local(), config.sip.main().ip(), api_of_directory).with_stun(config.sip.stun);
    let here = own.look(clock::now());
    let addresses = here.addresses.clone().unwrap_or_else(|| nowhere(&config));
    let mut gateway = build_gateway(&config, &routes, &addresses, &keyring.keys());
    gateway.set_known_csi(csi.known());
    let board = build_board(&config, sockets.len());
    let (command_in, event_out, handshakes, queues) = media_thread::queues();
    let handshake_sockets: Result<Vec<_>, _> = sockets.iter().map(|set| set.rtp.try_clone()).collect();
    let handshake_sockets = handshake_sockets.map_err(|e| system("media.ports", &e))?;
    let (wake_media, wake_events) = std::os::unix::net::UnixDatagram::pair().map_err(|e| system("socket pair", &e))?;
    for end in [&wake_media, &wake_events] {
        end.set_nonblocking(true).map_err(|e| system("socket pair", &e))?;
    }
    let wake = UnixDatagram::from_std(wake_events).map_err(|e| system("socket pair", &e))?;
    let (stop, media) = (Arc::new(AtomicBool::new(false)), Arc::new(MediaStats::default()));
    let thread = MediaThread { board, ports, sockets, queues, wake: wake_media, stats: media.clone(), stop: stop.clone() };
    let thread = thread.spawn().map_err(|e| system("media thread", &e))?;

    let (api_in, api_out) = mpsc::channel(64);
    let door = Arc::new(gateway_api::Door::open(api_in, &config, &state).map_err(|e| system("state", &e))?);
    let mut doors = tokio::task::JoinSet::new();
    if let Some(metrics) = &config.metrics {
        let listener = tokio::net::TcpListener::bind(metrics.listen).await;
        let listener = listener.map_err(|e| system(&format!("metrics.listen {}", metrics.listen), &e))?;
        doors.spawn(gateway_api::health::serve(listener, door.clone()));
    }
    doors.spawn(gateway_api::serve(api, door));
    let (answers, answers_out) = mpsc::channel(crate::limits::LOOKUPS_MAX);
    let directory = Directory::of(&config, &state, &keyring).map_err(|e| system("directory", &e))?;
    if let Some(directory) = &directory {
        directory.pins.audit_to(audit.clone());
    }
    let told_address = addresses.contacts[0].addr;
    let registrants = registrations::registrants(&config, &state, keyring.keys().current.fingerprint(), told_address, None)
        .map_err(|e| system("directory", &e))?;
    let mut daemon = Daemon {
        name,
        gateway,
        registrants,
        media,
        totals: Totals::default(),
        notes: simulate::Notes::new(config.ports.len()),
        sip_counters: sip_transport::Counters::default(),
        started: clock::now(),
        commands: command_in,
        events: event_out,
        handshakes,
        backlog: std::collections::VecDeque::new(),
        handshake_sockets,
        routes,
        csi,
        records: RecordsFile::open(&state),
        revoked: RevokedFile::open(&state).map_err(|e| system("state", &e))?,
        asks_revoked: false,
        directory,
        enrolled,
        enrolling,
        state,
        own,
        audit,
        keyring,
        told_address,
        private_address: None,
        here,
        answers,
        dns: super::dns::Dns::of(&config.sip),
        stopping: None,
        thread: Some(thread),
        pulse: (0, clock::now()),
        watchdog: Watchdog::open(),
        told: vec![String::new(); config.ports.len()],
        config,
    };
    daemon.gateway.set_revoked(&daemon.revoked.list.keys);
    daemon.say_address();
    tracing::info!(
        "gateway {} up: SIP {}, API {}, {} ports",
        daemon.name,
        sip_transport::addresses_in_words(&daemon.config.sip),
        daemon.config.api.listen,
        daemon.config.ports.len()
    );
    super::supervisor::ready(&format!("{} ports", daemon.config.ports.len()));
    daemon.clocked().start_accounts(clock::now());
    daemon.enrolling.iter().for_each(|port| port.begin(daemon.directory.as_ref(), &daemon.answers, FromDirectory::Enrolled));
    let outcome = daemon.run(&mut sip, &wake, answers_out, api_out).await;
    sip.close().await;
    stop.store(true, Ordering::Relaxed);
    doors.abort_all();
    // The thread sees the flag within one turn; a panic in it has been printed by then.
    if let Some(thread) = daemon.thread.take() {
        let _panicked = tokio::task::spawn_blocking(move || thread.join()).await;
    }
    tracing::info!("gateway {} down", daemon.name);
    outcome.map_err(|e| system("gateway", &e))
}

impl Daemon {
    async fn run(
        &mut self,
        sip: &mut SipTransport,
        wake: &UnixDatagram,
        mut answers: mpsc::Receiver<FromDirectory>,
        mut api: mpsc::Receiver<Request>,
    ) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut byte = [0u8; 64];
        let mut watch = Watch::open();
        // What changed since the first look was not heard.
        self.look_again(sip);
        loop {
            self.settle(sip);
            if self.may_stop() {
                return Ok(());
            }
            if self.thread.as_ref().is_some_and(std::thread::JoinHandle::is_finished) {
                // No bell would ever ring again; whoever runs us starts us anew.
                return Err(io::Error::other("the media thread died; see the panic above"));
            }
            if self.own.handle_timeout(clock::now()) {
                self.look_again(sip);
            }
            self.feel_pulse();
            let deadline = self.next_deadline();
            tokio::select! {
                incoming = sip.recv() => match incoming {
                    Incoming::Message { src, bytes } => self.clocked().handle_message(clock::now(), src, &bytes),
                    Incoming::Stun { src, bytes } => {
                        if self.own.handle_stun(clock::now(), src, &bytes) {
                            self.look_again(sip);
                        }
                    }
                    Incoming::Failed { dst, why } => {
                        tracing::debug!("SIP to {dst}: {why}");
                        self.clocked().handle_transport_failure(clock::now(), dst);
                    }
                },
                _ = wake.recv(&mut byte) => self.take_events(),
                () = watch.changed() => self.look_again(sip),
                Some(answer) = answers.recv() => self.take_answer(answer),
                Some(request) = api.recv() => {
                    self.sip_counters = sip.counters();
                    gateway_api::answer(self, request);
                }
                () = tokio::time::sleep_until(tokio::time::Instant::from_std(clock::to_std(deadline))) => {}
                _ = term.recv() => self.begin_stop("SIGTERM"),
                _ = int.recv() => self.begin_stop("SIGINT"),
            }
        }
    }

    /// Sees whether the board turns, and tells the service manager so.
    fn feel_pulse(&mut self) {
        let (now, ticks) = (clock::now(), self.media.ticks.load(Ordering::Relaxed));
        if ticks != self.pulse.0 {
            self.pulse = (ticks, now);
        }
        if self.is_stopping() || gateway_api::health::fault(self).is_none() {
            self.watchdog.alive(now);
        }
    }

    /// For how long the board was not seen to turn, in milliseconds.
    pub fn board_still_ms(&self, now: crate::clock::Instant) -> u64 {
        now.ms_since(self.pulse.1)
    }

    /// The end has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Something changed in the machine's network: where are we reached now?
    fn look_again(&mut self, sip: &SipTransport) {
        let now = clock::now();
        let look = self.own.look(now);
        let before = core::mem::replace(&mut self.here, look.clone());
        if self.stopping.is_some() {
            return;
        }
        let moved = look.addresses.as_ref().filter(|to| before.addresses.as_ref() != Some(*to));
        if look.addresses.is_some() != before.addresses.is_some() || moved.is_some() {
            self.say_address();
        }
        let known = |a: &Addresses| a.contacts.iter().map(|c| c.addr.ip()).chain([a.media]).collect::<Vec<_>>();
        if let (Some(old), Some(new)) = (&before.addresses, &look.addresses) {
            let (old, new) = (known(old), known(new));
            sip.leave(old.into_iter().filter(|ip| !new.contains(ip)).collect());
        }
        match moved {
            Some(to) => {
                (self.told_address, self.private_address) = to.registered().unwrap_or((self.told_address, None));
                self.directory.iter().for_each(Directory::forget_connections);
                self.clocked().readdress(now, to);
            }
            None if look.has_way && !before.has_way => {
                self.directory.iter().for_each(Directory::forget_connections);
                self.clocked().way_is_back(now);
            }
            None => {}
        }
        let back = look.has_way && !before.has_way;
        for port in self.registrants.iter_mut().filter(|_| look.addresses.is_some()) {
            port.registrant.moved(now, self.told_address, self.private_address);
            port.registrant.start(now);
            if back {
                port.registrant.way_is_back(now);
            }
        }
    }

    /// What our NAT shows of us.
    fn outside_ip(&self) -> Option<std::net::IpAddr> {
        self.private_address.map(|_| self.told_address.ip())
    }

    fn say_address(&self) {
        match &self.here.addresses {
            Some(to) => {
                let beyond = to.outside.map(|o| format!(", and beyond the NAT at {o}")).unwrap_or_default();
                if self.config.sip.main().ip().is_unspecified() || to.outside.is_some() {
                    tracing::info!("peers reach this gateway at {}{beyond}", to.contacts[0]);
                }
            }
            None => tracing::warn!("this machine has no address that peers could reach; waiting for one"),
        }
    }

    fn clocked(&mut self) -> &mut Gateway {
        self.gateway.set_wall(clock::now(), clock::wall());
        &mut self.gateway
    }

    /// Carries out everything that is due or asked for.
    fn settle(&mut self, sip: &mut SipTransport) {
        let now = clock::now();
        if self.gateway.poll_timeout().is_some_and(|at| at <= now) {
            self.clocked().handle_timeout(now);
        }
        self.register(now);
        while let Some(action) = self.gateway.poll_action() {
            self.act(action);
        }
        while let Some((server, ask)) = self.own.poll_transmit() {
            sip.send(server, None, ask);
            self.gateway.keep_open();
        }
        while let Some(transmit) = self.gateway.poll_transmit() {
            sip.send(transmit.dst, transmit.server_name, transmit.bytes);
        }
        while let Some(d) = self.gateway.poll_media_transmit() {
            // Like any datagram it may be lost; the handshake's timers send it again.
            let _lost = self.handshake_sockets.get(usize::from(d.leg.0)).map(|socket| socket.send_to(&d.bytes, d.dst));
        }
        while let Some(command) = self.gateway.poll_command() {
            self.backlog.push_back(command);
        }
        while let Some(command) = self.backlog.pop_front() {
            if let Err(full) = self.commands.enqueue(command) {
                // The board drains its queue every 20 ms; what does not fit waits here, in order.
                self.backlog.push_front(full);
                break;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Lookup(query, number) => self.look_up(query, number, None),
            Action::FindIdentifier(query, number, key) => self.look_up(query, number, Some(key)),
            Action::Locate(id, server) => {
                let (answers, dns) = (self.answers.clone(), self.dns.clone());
                tokio::spawn(async move {
                    let found = sip_accounts::locate(dns, &server).await;
                    let _nobody_waits = answers.send(FromDirectory::Located(id, found)).await;
                });
            }
            Action::Route(number, route) => {
                if let Err(e) = self.routes.put(&number, route.as_ref()) {
                    tracing::error!("the learned route to {number} is not on disk: {e}");
                }
            }
            Action::Csi(number, csi) => {
                if let Err(e) = self.csi.put(&number, csi) {
                    tracing::error!("the CSI of {number} is not on disk: {e}");
                }
            }
            Action::Record(record) => {
                self.totals.calls += 1;
                self.totals.completed += u64::from(record.completed);
                self.totals.fax_pages += record.fax.as_ref().map_or(0, |f| u64::from(f.record.pages));
                self.records.write(&record);
            }
            Action::Audit(event) => self.audit.write(*event),
            Action::Log(line) => {
                let call = line.call.map(|c| c.to_string()).unwrap_or_default();
                if line.warn {
                    tracing::warn!(call, "{}", line.words);
                } else {
                    tracing::info!(call, "{}", line.words);
                }
            }
        }
    }

    fn look_up(&mut self, query: QueryId, number: Number, identifier: Option<String>) {
        let Some(client) = self.directory.clone() else {
            let answer = crate::resolve::Answer::No(crate::resolve::NoRoute::Unknown);
            self.clocked().handle_lookup(clock::now(), query, answer);
            return;
        };
        let (answers, near) = (self.answers.clone(), self.outside_ip());
        tokio::spawn(async move {
            let answer = match identifier {
                Some(key) => client.find_identifier(&number, &key, near).await,
                None => client.look_up(&number, near).await,
            };
            // A daemon that is going down no longer listens.
            let _nobody_waits = answers.send(FromDirectory::Lookup(query, answer)).await;
        });
    }

    fn register(&mut self, now: crate::clock::Instant) {
        let Some(client) = &self.directory else { return };
        for (i, port) in self.registrants.iter_mut().enumerate() {
            if port.registrant.poll_timeout().is_some_and(|at| at <= now) {
                port.registrant.handle_timeout(now);
            }
            // D-6: one report at a time, so that none overtakes another.
            let calls = u8::from(self.gateway.call_of_port(port.port).is_some());
            if let Some((number, calls)) = port.report(calls) {
                let (client, login, answers) = (client.clone(), port.login(), self.answers.clone());
                tokio::spawn(async move {
                    let heard = client.report_calls(login, number, calls).await;
                    let _nobody_waits = answers.send(FromDirectory::Reported(i, heard)).await;
                });
            }
            while let Some(request) = port.registrant.poll_request() {
                let (client, login, answers) = (client.clone(), port.login(), self.answers.clone());
                tokio::spawn(async move {
                    let (serial, outcome) = client.carry_out(login, request).await;
                    let _nobody_waits = answers.send(FromDirectory::Registration(i, serial, outcome)).await;
                });
            }
        }
    }

    fn take_answer(&mut self, answer: FromDirectory) {
        let now = clock::now();
        self.ask_revoked();
        match answer {
            FromDirectory::Revoked(list) => self.take_revoked(list),
            FromDirectory::Lookup(query, answer) => self.clocked().handle_lookup(now, query, answer),
            FromDirectory::Located(id, found) => self.clocked().handle_located(now, id, found),
            FromDirectory::Enrolled(port, outcome) => self.take_enrolment(port, outcome),
            FromDirectory::Reported(i, heard) => {
                if let Some(port) = self.registrants.get_mut(i) {
                    port.reported(heard);
                }
            }
            FromDirectory::Registration(i, serial, outcome) => {
                let Some(registration) = self.registrants.get_mut(i) else { return };
                let refused = matches!(outcome, crate::registration::Outcome::Refused { .. });
                registration.registrant.handle_response(now, serial, outcome);
                let (port, number, words) = (registration.port, registration.registrant.number().cloned(), registration.words());
                if self.told[i] != words {
                    let number = number.as_ref().map_or_else(|| "no number".into(), ToString::to_string);
                    tracing::info!("{}: {number} {words}", self.config.ports[usize::from(port.0)].name);
                    self.told[i] = words;
                }
                if self.stopping.is_none() && (number.is_some() || refused) {
                    self.gateway.set_port_number(port, if refused { None } else { number });
                }
            }
        }
    }

    fn take_events(&mut self) {
        while let Some(d) = self.handshakes.dequeue() {
            self.clocked().handle_handshake(clock::now(), d.leg, d.src, &d.bytes);
        }
        while let Some(event) = self.events.dequeue() {
            match &event {
                Event::Sim(port, happening) => self.notes.take(*port, happening),
                Event::SimRefused(port, why) => self.notes.refused(*port, *why),
                _ => {}
            }
            self.clocked().handle_tick_event(clock::now(), event);
        }
    }

    /// `tipring lookup`: the chain's answer for a number, from what was learned or from the directory.
    pub fn look_up_for(&mut self, number: &str, reply: tokio::sync::oneshot::Sender<gateway_api::Answer>) {
        use gateway_api::lookup_json;
        let Ok(number) = Number::parse(number) else {
            let _nobody_waits = reply.send(Err((axum::http::StatusCode::BAD_REQUEST, format!("{number:?} is no number"))));
            return;
        };
        let resolver = self.gateway.resolver();
        if resolver.port_of(&number).is_some() || resolver.is_echo(&number) {
            let contact = self.told_address;
            let here = crate::resolve::Answer::Found { number, contact, fingerprint: None, signed: false };
            let _nobody_waits = reply.send(Ok(lookup_json(&here, "this gateway")));
            return;
        }
        let learned = resolver.learned().find(|(n, _)| **n == number).map(|(_, r)| r.clone());
        let (first, last) = (resolver.outside_first(&number), resolver.prefix_route(&number));
        let (directory, near) = (self.directory.clone(), self.outside_ip());
        let accounts: Vec<String> = self.gateway.accounts().into_iter().map(|a| a.name).collect();
        if let (None, Some(outside)) = (&learned, &first) {
            let _nobody_waits = reply.send(Ok(sip_accounts::lookup_json(&accounts, outside)));
            return;
        }
        tokio::spawn(async move {
            let (answer, presence) = match directory {
                Some(directory) => directory.look_up_saying(&number, near).await,
                None => (crate::resolve::Answer::No(crate::resolve::NoRoute::Unknown), None),
            };
            let silent = answer == crate::resolve::Answer::No(crate::resolve::NoRoute::DirectorySilent);
            let mut value = match learned {
                Some(r) if silent => {
                    let stored = crate::resolve::Answer::Found {
                        number: r.number,
                        contact: r.contact,
                        fingerprint: r.fingerprint,
                        signed: r.signed,
                    };
                    lookup_json(&stored, "learned; the directory does not answer")
                }
                _ => match last {
                    Some(outside) if answer == crate::resolve::Answer::No(crate::resolve::NoRoute::Unknown) => {
                        sip_accounts::lookup_json(&accounts, &outside)
                    }
                    _ => lookup_json(&answer, "the directory"),
                },
            };
            if let Some(presence) = presence {
                value["presence"] = serde_json::json!(presence);
            }
            let _nobody_waits = reply.send(Ok(value));
        });
    }

    /// `tipring identity rotate`: a new key, which the directory is told at once. Handshakes under way finish with the old one.
    pub fn rotate_identity(&mut self) -> Result<(), String> {
        let keys = self.keyring.rotate()?;
        let (now, key) = (clock::now(), keys.current.fingerprint());
        tracing::warn!("the key of this gateway is replaced: {key}");
        self.audit.write(audit::Event::of_key("key-rotated", key, "the new key of this gateway"));
        self.gateway.set_certificate(build::certificate(&keys));
        for port in &mut self.registrants {
            port.registrant.set_key(now, key);
        }
        Ok(())
    }

    /// Puts a command of `tipring sim` on its way.
    pub fn simulate(&mut self, port: PortId, control: tipring_hw::sim::Control) {
        self.backlog.push_back(Command::Simulate(port, Box::new(control)));
    }

    fn next_deadline(&self) -> crate::clock::Instant {
        let registrations = self.registrants.iter().filter_map(|r| r.registrant.poll_timeout()).min();
        let retry = if self.backlog.is_empty() { None } else { Some(clock::now() + Duration::from_millis(20)) };
        let idle = clock::now() + Duration::from_secs(1);
        [self.gateway.poll_timeout(), self.watchdog.due(), registrations, retry, self.stopping, self.own.poll_timeout(), Some(idle)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(idle)
    }

    fn begin_stop(&mut self, signal: &str) {
        if self.stopping.is_some() {
            return;
        }
        let now = clock::now();
        tracing::info!("{signal}: ending {} calls and giving the numbers back", self.gateway.calls().len());
        super::supervisor::stopping();
        self.stopping = Some(now + Duration::from_millis(SHUTDOWN_MS));
        self.clocked().shut_down(now);
        for port in &mut self.registrants {
            port.registrant.shut_down(now);
        }
    }

    fn may_stop(&self) -> bool {
        let Some(limit) = self.stopping else { return false };
        let gone = self.gateway.is_idle()
            && self.gateway.accounts_are_gone()
            && self.registrants.iter().all(|r| r.registrant.state() == crate::registration::State::Stopped);
        gone || clock::now() >= limit
    }
}

/// Who this gateway is, once in the log.
fn tell_identity(keyring: &Keyring, audit: &Audit) {
    let keys = keyring.keys();
    if keys.made {
        audit.write(audit::Event::of_key("key-made", keys.current.fingerprint(), "the key of this gateway"));
    }
    let made = if keys.made { ", made just now" } else { "" };
    tracing::info!("the key of this gateway: {}{made}", keys.current.fingerprint());
}

/// What is plugged into a port, for `tipring ports`.
pub fn kind_word(config: &GatewayConfig, port: usize) -> &'static str {
    config.ports.get(port).map_or("echo", |p| PortKind::word(p.kind))
}
