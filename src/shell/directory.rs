//! The directory daemon: the machine, its store and its door, put together.

use crate::clock::{Instant, WallMs};
use crate::config::directory::Config;
use crate::digest::Authenticator;
use crate::directory::bans::Bans;
use crate::directory::logins::Failures;
use crate::directory::{Decision, Directory, Record, Request, Response};
use crate::shell::store::{self, NotWritten, Writer};
use crate::shell::{accounts, clock, directory_sip, http};
use crate::sip::Hop;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

/// The database's file in the state directory.
pub const DATABASE: &str = "directory.sqlite";
/// The operator's token, readable by the daemon's user only.
pub const ADMIN_TOKEN: &str = "admin.token";
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
            StartError::Sip(why) => f.write_str(why),
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
    /// SIP answers that wait for the disk.
    pub sip_waiting: AtomicUsize,
    /// Changes of accounts that are decided and not yet on disk.
    account_changes: AtomicU64,
}

/// The machines behind the one lock; nothing waits while it is held.
pub(super) struct Machines {
    pub directory: Directory,
    pub authenticator: Authenticator,
    pub failures: Failures,
    pub bans: Bans,
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
            if writes.is_empty() {
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
        machines.directory.replace_accounts(now, wall, accounts);
        tracing::info!("accounts were changed on disk: {} now", machines.directory.counts().accounts);
        true
    }

    /// Ends leases that are over.
    fn expire(&self) {
        let (now, wall) = (clock::now(), clock::wall());
        loop {
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
    /// Where SIP listens, likewise; empty: nowhere.
    pub sip: Vec<Hop>,
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
    let database = config.state_dir.join(DATABASE);
    let at_store = |e: store::OpenError| StartError::Store(database.clone(), e);
    let db = store::open(&database).map_err(at_store)?;
    store::bind_realm(&db, &config.domain).map_err(at_store)?;
    let directory = load(&config, &db, now, wall, &database)?;
    let admin_token = admin_token(&config.state_dir)?;
    let listener = TcpListener::bind(config.api_listen).await.map_err(|e| StartError::Listen(config.api_listen, e))?;
    let api = listener.local_addr().map_err(|e| StartError::Listen(config.api_listen, e))?;
    let sip = match &config.sip {
        Some(listen) => {
            let transport = directory_sip::open(&config, listen).map_err(StartError::Sip)?;
            Some((transport, directory_sip::door(&config, listen)))
        }
        None => None,
    };
    let sip_addresses = sip.as_ref().map_or_else(Vec::new, |(transport, _)| transport.local().to_vec());

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
        machines: Mutex::new(Machines { directory, authenticator, failures: Failures::default(), bans: Bans::new(config.bans) }),
        writer,
        admin_token,
        started: now,
        connections: AtomicUsize::new(0),
        refused_full: AtomicU64::new(0),
        sip_answered: AtomicU64::new(0),
        sip_dropped: AtomicU64::new(0),
        sip_waiting: AtomicUsize::new(0),
        account_changes: AtomicU64::new(0),
        config,
    });
    let _ = late.set(Arc::downgrade(&shared));

    let (stop, stopping) = watch::channel(false);
    let (end, ended) = oneshot::channel();
    tokio::spawn(serve(shared, listener, sip, stopping, thread, end));
    Ok(Running { api, sip: sip_addresses, stop, ended })
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
    for hop in &running.sip {
        tracing::info!("directory {name} of {domain}: SIP on {} over {}", hop.addr, hop.transport.as_str());
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    tracing::info!("directory {name} ended");
    Ok(())
}

fn load(config: &Config, db: &rusqlite::Connection, now: Instant, wall: WallMs, database: &Path) -> Result<Directory, StartError> {
    let at_store = |e: store::StoreError| StartError::Store(database.to_owned(), e.into());
    let mut directory = Directory::new(config.policy.clone());
    let unreadable = store::load(db, |record| directory.apply(now, wall, record)).map_err(at_store)?;
    if unreadable > 0 {
        tracing::warn!("{unreadable} rows of {} cannot be read and are passed over", database.display());
    }
    if let Some(file) = &config.accounts_file {
        let in_file = |e| StartError::Accounts(file.clone(), e);
        let text = std::fs::read_to_string(file).map_err(|e| in_file(accounts::ImportError::Unreadable(e)))?;
        let listed = accounts::read(&text, &config.domain, &config.policy.plan, config.loopback_only()).map_err(in_file)?;
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
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = state_dir.join(ADMIN_TOKEN);
    let failed = |e| StartError::State(path.clone(), e);
    match std::fs::read_to_string(&path) {
        Ok(token) if token.trim().len() >= 32 => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    let token: String = clock::random::<32>().iter().map(|b| format!("{b:02x}")).collect();
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(failed)?;
    file.write_all(token.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&fresh, &path).map_err(failed)?;
    Ok(token)
}

async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    sip: Option<directory_sip::Sip>,
    mut stopping: watch::Receiver<bool>,
    store: std::thread::JoinHandle<()>,
    end: oneshot::Sender<()>,
) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let for_connections = stopping.clone();
    let sip = sip.map(|sip| tokio::spawn(directory_sip::serve(shared.clone(), sip, stopping.clone())));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => http::accept(&shared, stream, peer, for_connections.clone()),
                Err(e) => {
                    // Out of descriptors, most likely: without a pause this would spin.
                    tracing::warn!("accept: {e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = second.tick() => shared.expire(),
            _ = stopping.changed() => break,
        }
    }
    drop(listener);
    if let Some(sip) = sip {
        let _answered = sip.await;
    }
    let quiet = async {
        while shared.connections.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(FAREWELL, quiet).await;
    shared.writer.stop();
    let _ = tokio::task::spawn_blocking(move || store.join()).await;
    let _ = end.send(());
}
