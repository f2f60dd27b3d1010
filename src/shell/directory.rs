//! The directory daemon: the machine, its store and its door, put together.

use crate::audit::Event;
use crate::clock::{Instant, WallMs};
use crate::config::directory::Config;
use crate::config::enum_dns::EnumDns;
use crate::digest::Authenticator;
use crate::directory::bans::Bans;
use crate::directory::logins::{Failures, LogGate};
use crate::directory::sessions::Sessions;
use crate::directory::station_keys::StationKeys;
use crate::directory::{Decision, Directory, Record, Request, Response};
use crate::key::Fingerprint;
use crate::limits::API_CONNECTIONS_PER_SOURCE_MAX;
use crate::shell::access::{Access, Seats};
use crate::shell::audit_file::Audit;
use crate::shell::directory_https::Secure;
use crate::shell::enrol::Enrolment;
use crate::shell::first_admin::FirstAdmin;
use crate::shell::identity_key::{self, Keyring};
use crate::shell::log::Seldom;
use crate::shell::passwords::Passwords;
use crate::shell::state_folder::{self, ADMIN_TOKEN};
use crate::shell::store::{self, NotWritten, Writer};
use crate::shell::supervisor::{self, Watchdog};
use crate::shell::{accounts, clock, directory_dns, directory_sip, http};
use crate::sip::Hop;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

/// The database's file in the state directory.
pub const DATABASE: &str = "directory.sqlite";
/// Turns of ending leases in one go, each of `EXPIRIES_PER_TURN_MAX`: a city that lost its power is written down within a minute, and not held in
/// memory all at once. Look-ups see each lease's end at its time, whatever is still to be written.
const EXPIRY_TURNS: usize = 16;
/// How long open connections may finish what they are at when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why a directory does not start. All are the operator's to mend.
#[derive(Debug)]
pub enum StartError {
    /// The state directory or a file in it.
    State(std::path::PathBuf, std::io::Error),
    /// The database.
    Store(std::path::PathBuf, store::OpenError),
    /// The accounts file.
    Accounts(std::path::PathBuf, accounts::ImportError),
    /// An account whose password everybody knows, and a listener beyond loopback.
    DemoAccount(String),
    /// An address to listen on.
    Listen(SocketAddr, std::io::Error),
    /// SIP's sockets or certificates, in words.
    Sip(String),
    /// The key of `[enrol]`, in words.
    Enrol(String),
    /// The key that answers are signed with, in words.
    Key(String),
    /// The audit trail, in words.
    Audit(String),
    /// The certificate of HTTPS, in words.
    Tls(String),
    /// Another directory runs on this state.
    Runs(std::path::PathBuf),
}
impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StartError::State(path, e) => write!(f, "{}: {e}", path.display()),
            StartError::Store(path, e) => write!(f, "{}: {e}", path.display()),
            StartError::Accounts(path, e) => write!(f, "{}: {e}", path.display()),
            StartError::DemoAccount(user) => write!(
                f,
                "account {user} has its password from the demo, which everybody knows, and this directory listens beyond loopback: \
                 remove the account or give it another password"
            ),
            StartError::Listen(address, e) => write!(f, "listen on {address}: {e}"),
            StartError::Sip(why) | StartError::Tls(why) | StartError::Enrol(why) | StartError::Key(why) | StartError::Audit(why) => {
                f.write_str(why)
            }
            StartError::Runs(state) => write!(f, "{}: another directory runs on this state", state.display()),
        }
    }
}
impl std::error::Error for StartError {}

/// What all doors share.
pub(super) struct Shared {
    pub config: Config,
    machines: Mutex<Machines>,
    pub writer: Writer,
    pub admin_token: String,
    pub started: Instant,
    pub connections: AtomicUsize,
    pub refused_full: AtomicU64,
    /// SIP requests answered.
    pub sip_answered: AtomicU64,
    /// SIP messages dropped.
    pub sip_dropped: AtomicU64,
    /// When the SIP door last said that it lives, in milliseconds of the clock.
    pub sip_alive_ms: AtomicU64,
    /// SIP answers that wait for the disk.
    pub sip_waiting: AtomicUsize,
    /// What is remembered for good.
    pub audit: Audit,
    /// What answers are signed with.
    pub keyring: Keyring,
    /// The certificate that HTTPS shows.
    pub fingerprint: Option<Fingerprint>,
    /// Whom the API lets in.
    pub api_access: Access,
    /// Who has how many connections to it.
    pub api_seats: Arc<Seats>,
    /// Whom SIP lets in.
    pub sip_access: Arc<Access>,
    /// Whom ENUM over DNS lets in.
    pub enum_access: Access,
    /// Where people's passwords are hashed.
    pub passwords: Passwords,
    /// The token for the first admin.
    pub first_admin: FirstAdmin,
    /// Terminals that make their accounts themselves.
    pub enrolment: Enrolment,
    /// The daemon ends.
    pub stopping: AtomicBool,
    /// What was asked over DNS.
    pub dns: directory_dns::Counters,
    /// Changes of accounts that are decided and not yet on disk.
    account_changes: AtomicU64,
}

/// The machines behind the one lock; nothing waits while it is held.
pub(super) struct Machines {
    pub directory: Directory,
    pub authenticator: Authenticator,
    pub failures: Failures,
    pub bans: Bans,
    pub ban_lines: LogGate,
    pub refusal_lines: LogGate,
    pub sessions: Sessions,
    pub station_keys: StationKeys,
}

/// Why there is no answer to a decision; both mean: try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unanswered {
    /// Too many writes wait; nothing was changed.
    Overload,
    /// The disk refused.
    NotWritten,
}

impl Shared {
    pub fn machines(&self) -> MutexGuard<'_, Machines> {
        self.machines.lock().expect("no thread panics while it holds the machines")
    }

    /// The serial of the list of revoked keys.
    pub fn revocations(&self) -> u64 {
        self.machines().directory.revocations().serial()
    }

    /// Lets the directory decide, and answers when the decision is on disk.
    pub async fn ask(&self, request: Request) -> Result<Response, Unanswered> {
        let about_accounts = matches!(request, Request::SetAccount(_) | Request::RemoveAccount(_));
        let (response, written) = {
            let mut machines = self.machines();
            if !self.writer.has_room() {
                self.refused_full.fetch_add(1, Ordering::Relaxed);
                return Err(Unanswered::Overload);
            }
            let Decision { response, writes } = machines.directory.handle(clock::now(), clock::wall(), request);
            while let Some(alarm) = machines.directory.poll_alarm() {
                tracing::warn!("{alarm}");
            }
            // An answer that writes nothing may still rest on what is decided and not yet on disk: it waits its turn.
            let rests = matches!(response, Response::Deregistered { .. } | Response::Bound { .. } | Response::Registered { .. });
            if writes.is_empty() && !rests {
                return Ok(response);
            }
            if about_accounts {
                self.account_changes.fetch_add(1, Ordering::AcqRel);
            }
            // Under the lock: the order on disk is the order of decisions.
            (response, self.writer.submit(writes))
        };
        let outcome = written.await;
        if about_accounts {
            self.account_changes.fetch_sub(1, Ordering::AcqRel);
        }
        match outcome {
            Ok(Ok(())) => Ok(response),
            Ok(Err(NotWritten)) | Err(_) => Err(Unanswered::NotWritten),
        }
    }

    /// Another process wrote to the accounts. False: not now, ask again.
    fn accounts_changed(&self, mut accounts: Vec<crate::directory::Account>) -> bool {
        let (now, wall) = (clock::now(), clock::wall());
        if !self.config.loopback_only() {
            let demo = accounts::demo_accounts(&self.config.domain);
            accounts.retain(|a| {
                let known = accounts::is_demo(&demo, a);
                if known {
                    tracing::error!("account {} is not taken: its password is the demo's", a.user);
                }
                !known
            });
        }
        let mut machines = self.machines();
        if self.account_changes.load(Ordering::Acquire) > 0 {
            return false;
        }
        let ended = machines.directory.replace_accounts(now, wall, accounts);
        if !ended.is_empty() {
            self.writer.note(ended);
        }
        tracing::info!("accounts were changed on disk: {} now", machines.directory.counts().accounts);
        true
    }

    /// Ends leases that are over.
    fn expire(&self) {
        let (now, wall) = (clock::now(), clock::wall());
        for _ in 0..EXPIRY_TURNS {
            let mut machines = self.machines();
            if machines.directory.poll_timeout().is_none_or(|at| at > now) {
                return;
            }
            let writes = machines.directory.handle_timeout(now, wall);
            if !writes.is_empty() {
                self.writer.note(writes);
            }
        }
    }
}

/// A running directory.
pub struct Running {
    /// Where the API listens (the port chosen, where the configuration says 0).
    pub api: SocketAddr,
    /// Where it listens for HTTPS, likewise.
    pub api_tls: Option<SocketAddr>,
    /// The certificate shown there.
    pub fingerprint: Option<Fingerprint>,
    /// Where counts are told beside the API.
    pub metrics: Option<SocketAddr>,
    /// Where SIP listens, likewise; empty: nowhere.
    pub sip: Vec<Hop>,
    /// Where ENUM is asked over DNS (UDP and TCP); empty: nowhere.
    pub dns: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl Running {
    /// Stops accepting, lets requests under way finish, writes everything, and returns when all is on disk.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.ended.await;
    }
}

/// Starts a directory: reads all of its state, and only then opens its door, so that nobody is told of a registered number that it is
/// unknown.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let (now, wall) = (clock::now(), clock::wall());
    std::fs::create_dir_all(&config.state_dir).map_err(|e| StartError::State(config.state_dir.clone(), e))?;
    let lock = state_folder::lock(&config.state_dir).map_err(|e| StartError::State(config.state_dir.clone(), e))?;
    let lock = lock.ok_or_else(|| StartError::Runs(config.state_dir.clone()))?;
    let database = config.state_dir.join(DATABASE);
    let at_store = |e: store::OpenError| StartError::Store(database.clone(), e);
    let db = store::open(&database).map_err(at_store)?;
    store::bind_realm(&db, &config.domain).map_err(at_store)?;
    let directory = load(&config, &db, now, wall, &database)?;
    let admin_token = admin_token(&config.state_dir)?;
    let sip_access = Arc::new(Access::new("sip", config.access.sip.clone()));
    let api_access = Access::new("api", config.access.api.clone()).with_loopback();
    let (listener, api) = listen(config.api.listen).await?;
    let secure = Secure::open(&config).await?;
    let enrolment = Enrolment::open(config.enrol.clone()).map_err(StartError::Enrol)?;
    let metrics = match &config.metrics {
        Some(metrics) => Some(listen(metrics.listen).await?),
        None => None,
    };
    let sip = match &config.sip {
        Some(listen) => {
            let transport = directory_sip::open(&config, listen, sip_access.clone()).map_err(StartError::Sip)?;
            Some((transport, directory_sip::door(&config, listen)))
        }
        None => None,
    };
    let dns = match &config.enum_dns {
        Some(dns) => Some((dns.clone(), directory_dns::open(dns)?)),
        None => None,
    };
    let dns_addresses = dns.as_ref().map_or_else(Vec::new, |(_, sockets)| sockets.addresses());
    let sip_addresses = sip.as_ref().map_or_else(Vec::new, |(transport, _)| transport.local().to_vec());

    // Said once, and only when the start has come so far that somebody can use it.
    let first_admin = FirstAdmin::open(&config.state_dir, directory.people().has_admin());
    let first_admin = first_admin.map_err(|e| StartError::State(config.state_dir.clone(), e))?;

    let keyring = Keyring::open(&config.state_dir, identity_key::DIRECTORY).map_err(StartError::Key)?;
    let audit = Audit::start(&config.state_dir).map_err(StartError::Audit)?;
    if keyring.keys().made {
        audit.write(Event::of_key("key-made", keyring.keys().current.fingerprint(), "the key of this directory"));
    }
    let authenticator = Authenticator::new(&config.domain, clock::random(), config.nonce_lifetime_s);
    // The writer's thread speaks to what is made after it: through this.
    let late: Arc<std::sync::OnceLock<std::sync::Weak<Shared>>> = Arc::default();
    let reach = late.clone();
    let changed = move |accounts| match reach.get().and_then(std::sync::Weak::upgrade) {
        Some(shared) => shared.accounts_changed(accounts),
        None => false,
    };
    // Bounded by the store's own queue: each answer had a place in it.
    let (settle, settled) = mpsc::unbounded_channel();
    let on_disk = move |of_sip| {
        // Nobody listens any more only when the daemon has ended.
        let _ended = settle.send(of_sip);
    };
    let (writer, thread) = Writer::start(db, changed, on_disk).map_err(|e| StartError::Store(database.clone(), e.into()))?;
    let sip = sip.map(|(transport, door)| directory_sip::Sip { transport, door, settled });
    let shared = Arc::new(Shared {
        machines: Mutex::new(Machines {
            directory,
            authenticator,
            failures: Failures::default(),
            bans: Bans::new(config.bans),
            ban_lines: LogGate::default(),
            refusal_lines: LogGate::default(),
            sessions: Sessions::default(),
            station_keys: StationKeys::default(),
        }),
        writer,
        enrolment,
        admin_token,
        started: now,
        connections: AtomicUsize::new(0),
        refused_full: AtomicU64::new(0),
        sip_answered: AtomicU64::new(0),
        sip_dropped: AtomicU64::new(0),
        sip_alive_ms: AtomicU64::new(now.as_ms()),
        sip_waiting: AtomicUsize::new(0),
        dns: directory_dns::Counters::default(),
        account_changes: AtomicU64::new(0),
        fingerprint: secure.as_ref().and_then(|s| s.fingerprint),
        keyring,
        audit,
        api_access,
        api_seats: Seats::new(API_CONNECTIONS_PER_SOURCE_MAX),
        sip_access,
        enum_access: Access::new("enum", config.access.enum_dns.clone()),
        passwords: Passwords::default(),
        first_admin,
        stopping: AtomicBool::new(false),
        config,
    });
    let _ = late.set(Arc::downgrade(&shared));

    let (stop, stopping) = watch::channel(false);
    let (end, ended) = oneshot::channel();
    let (api_tls, fingerprint) = (secure.as_ref().map(|s| s.address), shared.fingerprint);
    let (metrics, metrics_address) = metrics.unzip();
    let doors = Doors { clear: listener, secure, metrics, sip, dns };
    tokio::spawn(serve(shared, doors, stopping, thread, Ending { lock, end }));
    Ok(Running { api, api_tls, fingerprint, metrics: metrics_address, sip: sip_addresses, dns: dns_addresses, stop, ended })
}

/// Runs a directory until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let state_dir = config.state_dir.clone();
    let at_signals = |e| StartError::State(state_dir.clone(), e);
    let mut terminate = signal(SignalKind::terminate()).map_err(at_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(at_signals)?;
    let (domain, name) = (config.domain.clone(), config.name.clone());
    let running = start(config).await?;
    tracing::info!("directory {name} of {domain}: API on {}, state in {}", running.api, state_dir.display());
    if let (Some(at), Some(fingerprint)) = (running.api_tls, running.fingerprint) {
        tracing::info!("directory {name} of {domain}: HTTPS on {at}, certificate {fingerprint}");
    }
    for hop in &running.sip {
        tracing::info!("directory {name} of {domain}: SIP on {} over {}", hop.addr, hop.transport.as_str());
    }
    for address in &running.dns {
        tracing::info!("directory {name} of {domain}: ENUM over DNS on {address}");
    }
    supervisor::ready(&format!("API on {}", running.api));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    supervisor::stopping();
    running.stop().await;
    tracing::info!("directory {name} ended");
    Ok(())
}

fn load(config: &Config, db: &rusqlite::Connection, now: Instant, wall: WallMs, database: &Path) -> Result<Directory, StartError> {
    let at_store = |e: store::StoreError| StartError::Store(database.to_owned(), e.into());
    let mut directory = Directory::new(config.policy.clone());
    let store::Loaded { accounts, registrations, records, unreadable } = store::load_whole(db, database).map_err(at_store)?;
    directory.fill(now, wall, accounts, registrations);
    for record in records {
        directory.apply(now, wall, record);
    }
    if unreadable > 0 {
        tracing::warn!("{unreadable} rows of {} cannot be read and are passed over", database.display());
    }
    if let Some(file) = &config.accounts_file {
        let in_file = |e| StartError::Accounts(file.clone(), e);
        let text = std::fs::read_to_string(file).map_err(|e| in_file(accounts::ImportError::Unreadable(e)))?;
        let listed = accounts::read(&text, &config.domain, &config.policy.plan, config.loopback_only()).map_err(in_file)?;
        accounts::taken(&listed, |number| directory.account_of(number)).map_err(in_file)?;
        let fresh: Vec<_> = listed.into_iter().filter(|a| directory.account(a.user.as_str()) != Some(a)).collect();
        db.execute_batch("BEGIN IMMEDIATE").map_err(at_store)?;
        for account in fresh {
            let record = Record::Account(account);
            store::write(db, &record).map_err(at_store)?;
            directory.apply(now, wall, record);
        }
        db.execute_batch("COMMIT").map_err(at_store)?;
    }
    if !config.loopback_only()
        && let Some(known) = accounts::known_to_everybody(directory.accounts(), &config.domain)
    {
        return Err(StartError::DemoAccount(known.user.to_string()));
    }
    Ok(directory)
}

/// The operator's token of a daemon: made at the first start, kept after.
pub(super) fn admin_token(state_dir: &Path) -> Result<String, StartError> {
    let path = state_dir.join(ADMIN_TOKEN);
    state_folder::secret(&path).map(|(token, _)| token).map_err(|e| StartError::State(path, e))
}

/// A socket that listens, and where.
pub(super) async fn listen(at: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::bind(at).await.map_err(|e| StartError::Listen(at, e))?;
    let address = listener.local_addr().map_err(|e| StartError::Listen(at, e))?;
    Ok((listener, address))
}

/// Where the world comes in.
struct Doors {
    clear: TcpListener,
    secure: Option<Secure>,
    metrics: Option<TcpListener>,
    sip: Option<directory_sip::Sip>,
    dns: Option<(EnumDns, directory_dns::Sockets)>,
}

/// What is let go of last.
struct Ending {
    lock: std::fs::File,
    end: oneshot::Sender<()>,
}

/// The next connection of a socket that may not be there.
async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn serve(
    shared: Arc<Shared>,
    Doors { clear, secure, metrics, sip, dns }: Doors,
    mut stopping: watch::Receiver<bool>,
    store: std::thread::JoinHandle<()>,
    Ending { lock, end }: Ending,
) {
    let mut watchdog = Watchdog::open();
    // Often enough for the shortest watchdog that anybody sets.
    let mut second = tokio::time::interval(watchdog.every().min(Duration::from_secs(1)));
    let api = http::Api::new(shared.clone());
    let for_connections = stopping.clone();
    let sip = sip.map(|sip| tokio::spawn(directory_sip::serve(shared.clone(), sip, stopping.clone())));
    let dns = dns.map(|(config, sockets)| tokio::spawn(directory_dns::serve(shared.clone(), config, sockets, stopping.clone())));
    loop {
        let (came, way) = tokio::select! {
            came = clear.accept() => (came, http::Way::Clear),
            came = accept(secure.as_ref().map(|s| &s.listener)) => {
                (came, secure.as_ref().map_or(http::Way::Clear, |s| http::Way::Tls(s.acceptor.clone())))
            }
            came = accept(metrics.as_ref()) => (came, http::Way::Metrics),
            _ = second.tick() => {
                shared.expire();
                if http::health::is_alive(&shared) && !store.is_finished() {
                    watchdog.alive(clock::now());
                }
                continue;
            }
            _ = stopping.changed() => break,
        };
        match came {
            Ok((stream, peer)) => api.accept(stream, peer, way, for_connections.clone()),
            Err(e) => {
                // Out of descriptors, most likely: without a pause this would spin.
                static TOLD: Seldom = Seldom::new();
                if let Some(more) = TOLD.pass() {
                    tracing::warn!("API: accept: {e} ({more} more were not logged)");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    shared.stopping.store(true, Ordering::Release);
    drop((clear, secure, metrics, api));
    if let Some(sip) = sip {
        let _answered = sip.await;
    }
    if let Some(dns) = dns {
        let _answered = dns.await;
    }
    let quiet = async {
        while shared.connections.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(FAREWELL, quiet).await;
    shared.writer.stop();
    let _ = tokio::task::spawn_blocking(move || store.join()).await;
    drop(lock);
    let _ = end.send(());
}
