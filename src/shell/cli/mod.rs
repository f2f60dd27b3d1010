//! The command line. One verb, one thing; `--json` for scripts, short lines for people.
//!
//! Exit codes: 0 done and true, 1 done but the answer is no, 2 the input or the configuration is unusable.

mod accounts;
mod ask;
mod audit;
mod check;
mod identity;
mod keep;
mod numbers;
mod sim;

use crate::shell::tables::Table;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Ordinary telephones and G3 fax machines on IP.
#[derive(Parser)]
#[command(name = "tipring", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// Which daemon a verb asks.
#[derive(clap::Args, Clone)]
pub(super) struct Daemon {
    /// The daemon's configuration file
    #[arg(long, env = "TIPRING_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// A directory and two gateways on loopback, with phones and fax machines: dial, talk, fax, and verify what arrived
    Demo(super::demo::Options),
    /// Run a gateway until SIGTERM
    Gateway(Daemon),
    /// Run a number directory until SIGTERM
    Directory(Daemon),
    /// Validate a configuration, name every problem with file and line, and say what would run
    Check(Daemon),
    /// How a daemon is
    Status(Daemon),
    /// A gateway's ports
    Ports(Daemon),
    /// A gateway's calls
    Calls(Daemon),
    /// Ask where a number is registered
    Lookup {
        /// The number
        number: String,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// The audit trail of a daemon
    Audit {
        #[command(subcommand)]
        ask: audit::Ask,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// The key that a gateway (or a directory) proves itself with
    Identity {
        #[command(subcommand)]
        change: Option<identity::Change>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// A gateway's learned routes
    Routes {
        #[command(subcommand)]
        change: Option<RouteChange>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// A directory's registrations
    Registrations {
        #[command(subcommand)]
        change: Option<RegistrationChange>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Other directories that a directory knows by their server numbers
    Servers {
        #[command(subcommand)]
        change: Option<numbers::ServerChange>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// What is wanted of single numbers: who may learn their address, which terminals ring, busy and do not disturb
    Numbers {
        #[command(subcommand)]
        change: Option<numbers::NumberChange>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// A directory's reserved numbers
    Reservations {
        #[command(subcommand)]
        change: Option<ReservationChange>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// A directory's accounts, of terminals and of people
    Accounts {
        #[command(subcommand)]
        change: Option<AccountChange>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// A consistent copy of a directory's database, while it runs or not
    Backup {
        /// The file to write; one that stands there is replaced when the copy is whole
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Put a backup in place of the database of a directory that does not run; the old one is kept
    Restore {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// A directory's table as CSV
    Export {
        /// Which table
        table: Table,
        /// Write here instead of to standard output
        #[arg(long)]
        out: Option<PathBuf>,
        /// The hashes of passwords too: whoever has a terminal's can log in with it
        #[arg(long)]
        with_hashes: bool,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Read a table as CSV, as `export` writes it
    Import {
        /// Which table
        table: Table,
        /// The file
        file: PathBuf,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Do what a person at a simulated phone or fax machine would do
    Sim {
        /// The port's name
        port: String,
        #[command(subcommand)]
        action: sim::Action,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Measurements in virtual time, repeatable by seed
    #[command(subcommand)]
    Lab(super::lab::Lab),
    /// Say what is on a recording of a phone line: digits, tones, caller ID, fax frames and pages
    Decode(super::decode::Options),
    /// CPU cost of each part on this machine
    Bench(super::bench::Options),
}

#[derive(Subcommand)]
pub(super) enum RouteChange {
    /// All of them
    List,
    /// Learn a route by hand; it is kept until it is removed
    Add {
        /// The number as dialled
        number: String,
        /// ADDRESS:PORT of the peer's SIP
        contact: String,
        /// The identifier to expect there
        #[arg(long)]
        fingerprint: Option<String>,
        /// Keep it for so many days without use
        #[arg(long)]
        days: Option<u32>,
    },
    /// Change a learned route; what is not named stays
    Edit {
        /// The number as dialled
        number: String,
        /// ADDRESS:PORT of the peer's SIP
        #[arg(long)]
        contact: Option<String>,
        /// The identifier to expect there
        #[arg(long)]
        fingerprint: Option<String>,
        /// Expect no identifier; the next one is learned
        #[arg(long, conflicts_with = "fingerprint")]
        no_fingerprint: bool,
        /// Keep it for so many days without use; without this it is kept until it is removed
        #[arg(long)]
        days: Option<u32>,
    },
    /// Forget a learned route
    Remove {
        /// The number as dialled
        number: String,
    },
}

#[derive(Subcommand)]
pub(super) enum RegistrationChange {
    /// All of them
    List,
    /// End a registration, whosever it is
    Remove {
        /// The number
        number: String,
    },
    /// A terminal that is always on and never registers: where the number is found
    Add {
        /// The number
        number: String,
        /// ADDRESS:PORT of its SIP
        contact: String,
        /// Over what it is called there: udp, tcp or tls
        #[arg(long)]
        transport: Option<String>,
        /// The key to expect there
        #[arg(long)]
        fingerprint: Option<String>,
    },
    /// Forget the keys that a number had, so that a new gateway's is let in without an alarm
    ForgetKeys {
        /// The number
        number: String,
    },
}

#[derive(Subcommand)]
pub(super) enum ReservationChange {
    /// All of them
    List,
    /// Reserve a number for a user
    Add {
        /// The number
        number: String,
        /// The account that may have it
        user: String,
        /// On this device only (hardware address)
        #[arg(long)]
        mac: Option<String>,
    },
    /// Give a reserved number back
    Remove {
        /// The number
        number: String,
    },
}

#[derive(Subcommand)]
pub(super) enum AccountChange {
    /// All of them
    List,
    /// Make or change an account; its password is read from the terminal, or from standard input
    Add {
        /// The name to log in with
        user: String,
        /// A person who logs in to the API, not a terminal: `admin` or `member`
        #[arg(long)]
        role: Option<String>,
        /// The number that is the account's own (repeatable for a person)
        #[arg(long)]
        number: Vec<String>,
        /// A terminal's account that is this person's (repeatable)
        #[arg(long, requires = "role")]
        account: Vec<String>,
        /// Leave the password of a person as it is
        #[arg(long, requires = "role")]
        keep_password: bool,
    },
    /// Read `number,password` lines into the store, whether the daemon runs or not
    Import {
        /// The file
        file: PathBuf,
        /// People of this role (`admin` or `member`), as `name,password[,number...]` lines, by a daemon that runs
        #[arg(long)]
        role: Option<String>,
    },
    /// Remove an account
    Remove {
        /// The user
        user: String,
        /// A person's, not a terminal's
        #[arg(long)]
        person: bool,
    },
    /// Make the first admin with the one-time token; the password is read from the terminal, or from standard input
    FirstAdmin {
        /// The name to log in with
        user: String,
        /// The token; without it that of the state folder
        #[arg(long)]
        token: Option<String>,
    },
}

/// What a verb found: 0, 1 or 2, with the words already printed.
pub(super) enum Outcome {
    /// Done and true.
    Yes,
    /// Done, but the answer is no.
    No,
    /// Unusable input; one line for stderr.
    Unusable(String),
}

/// The program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help, asked for or instead of nothing at all, is printed whole.
            if !e.use_stderr() || e.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                let code = if e.use_stderr() { 2 } else { 0 };
                let _closed_pipe = e.print();
                return ExitCode::from(code);
            }
            eprintln!("{}", one_line(&e.render().to_string()));
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("tipring: {e}");
            return ExitCode::from(2);
        }
    };
    if !matches!(cli.verb, Verb::Gateway(_) | Verb::Directory(_) | Verb::Demo(_)) {
        super::sys::end_with_the_reader();
    }
    match runtime.block_on(run(cli.verb)) {
        Outcome::Yes => ExitCode::SUCCESS,
        Outcome::No => ExitCode::from(1),
        Outcome::Unusable(words) => {
            eprintln!("{words}");
            ExitCode::from(2)
        }
    }
}

/// What is wrong with a command line, in one line: the first paragraph of clap's words, which go on with usage and tips.
fn one_line(words: &str) -> String {
    let said = words.lines().take_while(|l| !l.trim().is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
    format!("tipring: {} (--help says what there is)", said.trim_start_matches("error: "))
}

async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Demo(options) => super::demo::run(options).await,
        Verb::Gateway(daemon) => gateway(daemon).await,
        Verb::Directory(daemon) => directory(daemon).await,
        Verb::Check(daemon) => check::run(&daemon),
        Verb::Status(daemon) => ask::status(&daemon).await,
        Verb::Ports(daemon) => ask::rows(&daemon, "/v1/ports", &["name", "kind", "number", "state", "call"]).await,
        Verb::Calls(daemon) => {
            ask::rows(&daemon, "/v1/calls", &["call", "direction", "from", "to", "state", "media", "peer", "started"]).await
        }
        Verb::Lookup { number, daemon } => ask::lookup(&daemon, &number).await,
        Verb::Audit { ask, daemon } => audit::run(&daemon, ask).await,
        Verb::Identity { change, daemon } => identity::run(&daemon, change).await,
        Verb::Routes { change, daemon } => ask::routes(&daemon, change).await,
        Verb::Registrations { change: None | Some(RegistrationChange::List), daemon } => ask::registrations(&daemon).await,
        Verb::Registrations { change: Some(RegistrationChange::Add { number, contact, transport, fingerprint }), daemon } => {
            numbers::always_on(&daemon, &number, Some((contact, transport, fingerprint))).await
        }
        Verb::Registrations { change: Some(RegistrationChange::Remove { number }), daemon } => {
            // Both kinds of being found: what registered, and what never does.
            match ask::change(&daemon, "DELETE", &format!("/v1/registrations/{number}"), None).await {
                Outcome::Yes => numbers::always_on(&daemon, &number, None).await,
                other => other,
            }
        }
        Verb::Registrations { change: Some(RegistrationChange::ForgetKeys { number }), daemon } => {
            ask::change(&daemon, "DELETE", &format!("/v1/registrations/{number}/keys"), None).await
        }
        Verb::Servers { change, daemon } => numbers::servers(&daemon, change).await,
        Verb::Numbers { change, daemon } => numbers::numbers(&daemon, change).await,
        Verb::Reservations { change, daemon } => ask::reservations(&daemon, change).await,
        Verb::Accounts { change, daemon } => accounts::run(&daemon, change).await,
        Verb::Backup { out, daemon } => keep::backup(&daemon, &out),
        Verb::Restore { file, daemon } => keep::restore(&daemon, &file),
        Verb::Export { table, out, with_hashes, daemon } => keep::export(&daemon, table, out.as_deref(), with_hashes),
        Verb::Import { table, file, daemon } => keep::import(&daemon, table, &file),
        Verb::Sim { port, action, daemon } => sim::run(&daemon, &port, action).await,
        Verb::Lab(lab) => super::lab::run(lab),
        Verb::Decode(options) => super::decode::run(&options),
        Verb::Bench(options) => super::bench::run(&options),
    }
}

/// The configuration file that a verb needs.
pub(super) fn config_path(daemon: &Daemon) -> Result<PathBuf, Outcome> {
    daemon.config.clone().ok_or_else(|| Outcome::Unusable("say which daemon: --config FILE, or $TIPRING_CONFIG".into()))
}

/// Problems of a configuration, one a line.
pub(super) fn problems(problems: &[crate::config::error::ConfigError]) -> Outcome {
    Outcome::Unusable(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

async fn gateway(daemon: Daemon) -> Outcome {
    let path = match config_path(&daemon) {
        Ok(path) => path,
        Err(outcome) => return outcome,
    };
    super::log::start();
    let config = match crate::config::gateway(&path) {
        Ok(config) => config,
        Err(found) => return problems(&found),
    };
    let name = crate::config::name(&path);
    let state = crate::config::state_root().join(&name);
    match super::gateway::run(name, config, state).await {
        Ok(()) => Outcome::Yes,
        Err(e) => Outcome::Unusable(format!("{}: {e}", path.display())),
    }
}

async fn directory(daemon: Daemon) -> Outcome {
    let path = match config_path(&daemon) {
        Ok(path) => path,
        Err(outcome) => return outcome,
    };
    super::log::start();
    let config = match crate::config::directory(&path) {
        Ok(config) => config,
        Err(found) => return problems(&found),
    };
    match super::directory::run(config).await {
        Ok(()) => Outcome::Yes,
        Err(e) => Outcome::Unusable(format!("{}: {e}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_told_in_one_line() {
        let table: &[(&[&str], &str)] = &[
            (&["decode"], "tipring: the following required arguments were not provided: <FILE> (--help says what there is)"),
            (&["decode", "a.wav", "--ot", "x"], "tipring: unexpected argument '--ot' found (--help says what there is)"),
            (&["dcode"], "tipring: unrecognized subcommand 'dcode' (--help says what there is)"),
        ];
        for (arguments, words) in table {
            let Err(e) = Cli::try_parse_from(["tipring"].iter().chain(*arguments)) else { panic!("{arguments:?} is wrong") };
            assert_eq!(one_line(&e.render().to_string()), *words, "{arguments:?}");
        }
    }
}
