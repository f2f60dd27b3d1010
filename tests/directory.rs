//! The directory through its front door: the program `tipring directory` as a process, and the daemon in this one, on loopback.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)] // a test may

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tipring::api::directory::{LookupAnswer, RegisterRequest};
use tipring::clock::Rng;
use tipring::registration::{Ask, Outcome, Registrant, State};
use tipring::shell::directory_client::{ClientError, DirectoryClient, Login, Timeouts};

/// A folder of one test, gone with it.
struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tipring-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn config(&self, listen: &str, more: &str) -> PathBuf {
        let path = self.0.join("lan.toml");
        let text = format!("domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n{more}\n[api]\nlisten = \"{listen}\"\n");
        std::fs::write(&path, text).unwrap();
        path
    }
    fn accounts(&self, n: usize) -> PathBuf {
        let path = self.0.join("accounts.csv");
        let lines: String = (0..n).map(|i| format!("{:04},pw{:04}\n", i, i)).collect();
        std::fs::write(&path, lines).unwrap();
        path
    }
    fn load(&self, listen: &str, more: &str) -> tipring::config::directory::Config {
        let path = self.config(listen, more);
        tipring::config::directory::parse(&path, std::fs::read_to_string(&path).unwrap(), &self.0).unwrap()
    }
    fn tipring(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args(args).env("TIPRING_STATE", &self.0).stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }
    fn token(&self) -> String {
        std::fs::read_to_string(self.0.join("lan/admin.token")).unwrap()
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that is killed with the test.
struct Process(Child);
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn login(i: usize) -> Login {
    Login { user: format!("{i:04}"), password: format!("pw{i:04}") }
}
fn ask(i: usize) -> RegisterRequest {
    RegisterRequest { contact: format!("127.0.1.1:{}", 10_000 + i), instance: format!("terminal-{i}"), ..RegisterRequest::default() }
}
fn client(api: SocketAddr) -> DirectoryClient {
    DirectoryClient::new(api, Timeouts::default())
}
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
async fn up(api: SocketAddr) {
    for _ in 0..400 {
        if tokio::net::TcpStream::connect(api).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the directory does not listen on {api}");
}
/// A raw request; the head and body that come back.
async fn raw(api: SocketAddr, request: String) -> String {
    tokio::task::spawn_blocking(move || {
        let mut s = std::net::TcpStream::connect(api).unwrap();
        s.write_all(request.as_bytes()).unwrap();
        let mut out = String::new();
        let _ = s.read_to_string(&mut out);
        out
    })
    .await
    .unwrap()
}
fn refused(e: &ClientError) -> (u16, &str) {
    match e {
        ClientError::Refused { status, code, .. } => (*status, code.as_str()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn req_c2_nothing_acknowledged_is_lost_when_the_process_is_killed_in_the_middle() {
    let folder = Folder::new("kill");
    let api: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let config = folder.config(&api.to_string(), "");
    let config = config.to_str().unwrap();
    let accounts = folder.accounts(4000);
    assert!(folder.tipring(&["accounts", "import", accounts.to_str().unwrap(), "--config", config]).status().unwrap().success());

    let mut acknowledged = std::collections::BTreeSet::new();
    for first in [0, 2000] {
        let mut daemon = Process(folder.tipring(&["directory", "--config", config]).spawn().unwrap());
        up(api).await;
        let acknowledgements = Arc::new(AtomicUsize::new(0));
        let mut load = tokio::task::JoinSet::new();
        for lane in 0..16 {
            let count = acknowledgements.clone();
            load.spawn(async move {
                let client = client(api);
                let mut done = std::collections::BTreeSet::new();
                // Round and round: the kill always falls between requests that are under way.
                for i in (first + lane..first + 2000).step_by(16).cycle() {
                    if client.register(&login(i), &ask(i)).await.is_err() {
                        break;
                    }
                    done.insert(i);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                done
            });
        }
        while acknowledgements.load(Ordering::Relaxed) < 700 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        daemon.0.kill().unwrap(); // SIGKILL
        daemon.0.wait().unwrap();
        while let Some(done) = load.join_next().await {
            acknowledged.extend(done.unwrap());
        }
    }
    assert!(acknowledged.len() >= 1400, "{} numbers were acknowledged", acknowledged.len());

    let _daemon = Process(folder.tipring(&["directory", "--config", config]).spawn().unwrap());
    up(api).await;
    let client = client(api);
    for i in acknowledged {
        let found = client.lookup(Some(&login(0)), &format!("{i:04}")).await.unwrap();
        assert!(matches!(&found, LookupAnswer::Found(f) if f.contact.to_string() == ask(i).contact), "{i}: {found:?}");
    }
}

#[tokio::test]
async fn req_c4_c5_c9_d2_a_terminal_logs_in_registers_is_found_and_leaves() {
    let folder = Folder::new("door");
    folder.accounts(20);
    let running = tipring::shell::directory::start(folder.load("127.0.0.1:0", "[accounts]\nfile = \"accounts.csv\"")).await.unwrap();
    let c = client(running.api);
    let answer = c.register(&login(7), &ask(7)).await.unwrap();
    assert_eq!((answer.number.as_str(), answer.lan_number.as_str(), answer.renewed), ("0007", "10007", false));
    assert!(c.register(&login(7), &ask(7)).await.unwrap().renewed);
    for dialled in ["0007", "10007"] {
        let found = c.lookup(Some(&login(3)), dialled).await.unwrap();
        assert!(matches!(found, LookupAnswer::Found(f) if f.contact.port() == 10_007));
    }
    assert_eq!(c.lookup(Some(&login(3)), "0003").await.unwrap(), LookupAnswer::Away { number: "0003".into() });
    assert_eq!(c.lookup(Some(&login(3)), "9999").await.unwrap(), LookupAnswer::Unknown { number: "9999".into() });
    // Wrong password, nobody's account, somebody else's number, no credentials.
    let wrong = Login { user: "0007".into(), password: "guess".into() };
    assert_eq!(refused(&c.register(&wrong, &ask(7)).await.unwrap_err()), (401, "wrong_credentials"));
    assert_eq!(refused(&c.register(&login(77), &ask(7)).await.unwrap_err()), (401, "wrong_credentials"));
    assert_eq!(refused(&c.deregister(&login(8), "0007", "terminal-7").await.unwrap_err()), (403, "not_entitled"));
    let theirs = RegisterRequest { number: Some("0007".into()), ..ask(8) };
    assert_eq!(refused(&c.register(&login(8), &theirs).await.unwrap_err()), (403, "number_taken"));
    let same_place = RegisterRequest { contact: ask(7).contact, ..ask(8) };
    assert_eq!(refused(&c.register(&login(8), &same_place).await.unwrap_err()), (409, "address_in_use"));
    assert_eq!(refused(&c.lookup(None, "0007").await.unwrap_err()), (401, "credentials_wanted"));
    assert!(c.deregister(&login(7), "0007", "terminal-7").await.unwrap().was_registered);
    assert_eq!(c.lookup(Some(&login(3)), "0007").await.unwrap(), LookupAnswer::Away { number: "0007".into() });
    running.stop().await;
    assert!(matches!(c.lookup(Some(&login(3)), "0007").await, Err(ClientError::Unreachable(_))));
}

#[tokio::test]
async fn req_a6_c8_d3_d6_a_terminal_is_found_by_user_and_by_key_and_is_busy_while_it_talks() {
    let folder = Folder::new("states");
    folder.accounts(20);
    let running = tipring::shell::directory::start(folder.load("127.0.0.1:0", "[accounts]\nfile = \"accounts.csv\"")).await.unwrap();
    let ring = |name: &str| {
        let at = folder.0.join(name);
        std::fs::create_dir_all(&at).unwrap();
        std::sync::Arc::new(tipring::shell::identity_key::Keyring::open(&at, tipring::shell::identity_key::GATEWAY).unwrap())
    };
    let (own, another) = (ring("own"), ring("another"));
    let c = client(running.api).with_key(own.clone());
    let key = own.keys().current.fingerprint().to_string();
    let keyed = |contact: &str| RegisterRequest { contact: contact.into(), fingerprint: Some(key.clone()), ..ask(7) };
    for contact in ["10.1.1.1:5060", "10.2.2.2:5060"] {
        c.register(&login(7), &keyed(contact)).await.unwrap();
        let found = c.identifier(&login(3), &key).await.unwrap();
        let at: Vec<_> = found.contacts.iter().map(|c| (c.number.as_str(), c.contact.address.to_string())).collect();
        assert_eq!(at, [("0007", contact.to_owned())], "the address of the moment");
    }
    let nobody = another.keys().current.fingerprint().to_string();
    assert_eq!(refused(&c.identifier(&login(3), &nobody).await.unwrap_err()), (404, "unknown_identifier"));
    // The state of a call, from the gateway, to who may see it.
    let token = folder.token();
    let (api, token) = (running.api, token.as_str());
    let set = |body: serde_json::Value| async move {
        tipring::shell::api_client::request_as(api, Some(token), "PUT", "/v1/settings/0007", Some(&body)).await.unwrap()
    };
    let presence = || async {
        match c.lookup(Some(&login(3)), "0007").await.unwrap() {
            LookupAnswer::Found(found) => found.presence.map(|p| (p.busy, p.call_waiting, p.do_not_disturb)),
            other => panic!("{other:?}"),
        }
    };
    c.report_calls(&login(7), "0007", 1).await.unwrap();
    assert_eq!(presence().await, None);
    set(serde_json::json!({"number": "0007", "presence": true})).await;
    assert_eq!(presence().await, Some((true, false, false)));
    set(serde_json::json!({"number": "0007", "presence": true, "call_waiting": true})).await;
    assert_eq!(presence().await, Some((false, true, false)));
    assert_eq!(refused(&c.report_calls(&login(8), "0007", 0).await.unwrap_err()), (403, "not_entitled"));
    c.report_calls(&login(7), "0007", 0).await.unwrap();
    assert_eq!(presence().await, Some((false, false, false)));
    // Another key: the alarm is counted and logged.
    let other = RegisterRequest { fingerprint: Some(nobody), ..keyed("10.6.6.6:5060") };
    client(running.api).with_key(another).register(&login(7), &other).await.unwrap();
    let status = tipring::shell::api_client::request_as(api, Some(token), "GET", "/v1/status", None::<&serde_json::Value>).await.unwrap();
    assert_eq!(status["alarms"], 1, "{status}");
    running.stop().await;
}

#[tokio::test]
async fn a_registrant_keeps_a_port_registered_over_http_and_through_a_restart_of_the_directory() {
    let folder = Folder::new("registrant");
    folder.accounts(20);
    let more = "[accounts]\nfile = \"accounts.csv\"\n[registration]\nlease_min_s = 1";
    let running = tipring::shell::directory::start(folder.load("127.0.0.1:0", more)).await.unwrap();
    let api = running.api;
    let c = client(api);
    let user = tipring::directory::User::parse("0005").unwrap();
    let mut port = Registrant::new(RegisterRequest { lease_s: Some(2), ..ask(5) }.read(user).unwrap(), Rng::new(1));
    port.start(tipring::shell::clock::now());
    let mut running = Some(running);
    let mut answers = 0;
    let end = tokio::time::Instant::now() + Duration::from_secs(4);
    while tokio::time::Instant::now() < end {
        let now = tipring::shell::clock::now();
        port.handle_timeout(now);
        if let Some(out) = port.poll_request() {
            let outcome = c.carry_out(&login(5), &out.ask).await;
            answers += u32::from(matches!(outcome, Outcome::Granted { .. }));
            port.handle_response(tipring::shell::clock::now(), out.serial, outcome);
        }
        if answers == 2 && running.is_some() {
            running.take().unwrap().stop().await;
            let again = tipring::shell::directory::start(folder.load(&api.to_string(), more)).await.unwrap();
            let found = c.lookup(Some(&login(5)), "0005").await.unwrap();
            assert!(matches!(found, LookupAnswer::Found(_)), "at once after the restart: {found:?}");
            answers += 1;
            std::mem::forget(again);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(answers >= 4 && port.is_registered(), "{answers} answers, {:?}", port.last_error());
    port.shut_down(tipring::shell::clock::now());
    let out = port.poll_request().unwrap();
    assert!(matches!(out.ask, Ask::Deregister { .. }));
    port.handle_response(tipring::shell::clock::now(), out.serial, c.carry_out(&login(5), &out.ask).await);
    assert_eq!(port.state(), State::Stopped);
    assert!(matches!(c.lookup(Some(&login(5)), "0005").await.unwrap(), LookupAnswer::Away { .. }));
}

#[tokio::test]
async fn the_operator_reserves_lists_and_evicts_with_the_token_and_nobody_without() {
    let folder = Folder::new("operator");
    folder.accounts(20);
    let running = tipring::shell::directory::start(folder.load("127.0.0.1:0", "[accounts]\nfile = \"accounts.csv\"")).await.unwrap();
    let (api, c) = (running.api, client(running.api));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(folder.0.join("lan/admin.token")).unwrap().permissions().mode() & 0o777, 0o600);
    let send = |method: &str, path: &str, token: &str, body: &str| {
        raw(
            api,
            format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
    };
    let token = folder.token();
    for (method, path) in
        [("GET", "/v1/accounts"), ("GET", "/v1/registrations"), ("POST", "/v1/reservations"), ("DELETE", "/v1/accounts/0001")]
    {
        assert!(send(method, path, "guess", "{}").await.starts_with("HTTP/1.1 403"), "{method} {path}");
    }
    assert!(send("POST", "/v1/reservations", &token, r#"{"number":"0500","user":"0001"}"#).await.starts_with("HTTP/1.1 200"));
    let second = RegisterRequest { number: Some("0500".into()), ..ask(1) };
    assert_eq!(c.register(&login(1), &second).await.unwrap().number, "0500");
    assert!(send("GET", "/v1/registrations", &token, "").await.contains(r#""number":"0500","user":"0001","instance":"terminal-1""#));
    assert!(send("GET", "/v1/reservations", &token, "").await.contains(r#"[{"number":"0500","user":"0001"}]"#));
    assert!(send("DELETE", "/v1/registrations/0500", &token, "").await.contains(r#""was_registered":true"#));
    assert!(send("POST", "/v1/accounts", &token, r#"{"user":"0600","password":"new"}"#).await.starts_with("HTTP/1.1 200"));
    let fresh = Login { user: "0600".into(), password: "new".into() };
    assert_eq!(c.register(&fresh, &ask(600)).await.unwrap().number, "0600");
    let accounts = send("GET", "/v1/accounts", &token, "").await;
    assert!(accounts.contains("0600") && !accounts.contains("ha1") && !accounts.contains("new"));
    assert!(send("DELETE", "/v1/accounts/0600", &token, "").await.starts_with("HTTP/1.1 200"));
    assert_eq!(refused(&c.register(&fresh, &ask(600)).await.unwrap_err()).0, 401);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_a_request_gets_a_clear_error_and_nothing_else() {
    let folder = Folder::new("hostile");
    folder.accounts(20);
    let running = tipring::shell::directory::start(folder.load("127.0.0.1:0", "[accounts]\nfile = \"accounts.csv\"")).await.unwrap();
    let api = running.api;
    let long = "A".repeat(100_000);
    for (head, status, said) in [
        ("GET /v1/nothing HTTP/1.1".to_owned(), "404", "no_such_resource"),
        ("PUT /v1/registrations HTTP/1.1".to_owned(), "405", "method_not_allowed"),
        ("GET /v1/lookup/20!1 HTTP/1.1".to_owned(), "400", "not_a_number"),
        ("GET /v1/lookup/20x1 HTTP/1.1".to_owned(), "401", "credentials_wanted"),
        ("POST /v1/registrations HTTP/1.1\r\nAuthorization: Digest nonsense".to_owned(), "400", "bad_credentials"),
        ("POST /v1/registrations HTTP/1.1\r\nAuthorization: Basic eDp5".to_owned(), "401", "credentials_wanted"),
        (format!("GET /{long} HTTP/1.1"), "4", ""),
        ("\u{1}\u{2}\u{3}".to_owned(), "400", ""),
    ] {
        let answer = raw(api, format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(said), "{}: {answer}", &head[..head.len().min(60)]);
    }
    let c = client(api);
    let bad = |f: fn(&mut RegisterRequest)| {
        let mut r = ask(1);
        f(&mut r);
        r
    };
    for (r, code) in [
        (bad(|r| r.contact = "localhost".into()), "bad_field"),
        (bad(|r| r.contact = "0.0.0.0:5060".into()), "bad_contact"),
        (bad(|r| r.instance = "a b".into()), "bad_field"),
        (bad(|r| r.fingerprint = Some("sha-256 00".into())), "bad_field"),
        (bad(|r| r.instance = "x".repeat(90_000)), "too_large"),
    ] {
        assert_eq!(refused(&c.register(&login(1), &r).await.unwrap_err()).1, code);
    }
    assert_eq!(raw(api, "GET /health HTTP/1.0\r\n\r\n".into()).await.lines().next(), Some("HTTP/1.0 200 OK"));
    running.stop().await;
}

#[tokio::test]
async fn accounts_are_imported_whether_the_daemon_runs_or_not_and_demo_passwords_only_on_loopback() {
    let folder = Folder::new("import");
    // It asks until it is let in, which a directory takes for guessing.
    let config = folder.load("127.0.0.1:0", "[bans]\naccount_failures = 0");
    let file = folder.accounts(3000);
    let running = tipring::shell::directory::start(config.clone()).await.unwrap();
    let c = Arc::new(client(running.api));
    assert_eq!(refused(&c.register(&login(2999), &ask(2999)).await.unwrap_err()).0, 401);
    assert_eq!(tipring::shell::accounts::import(&config, &file).unwrap(), 3000);
    let mut taken = false;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        taken |= c.register(&login(2999), &ask(2999)).await.is_ok();
        if taken {
            break;
        }
    }
    assert!(taken, "the running daemon takes the accounts over");
    running.stop().await;

    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/accounts.csv");
    assert_eq!(tipring::shell::accounts::import(&config, &demo).unwrap(), 8);
    let outside = folder.config("0.0.0.0:0\"\nplaintext = true #", "");
    let out = folder.tipring(&["directory", "--config", outside.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && said.contains("account 2001 has its password from the demo"), "{said}");
    let import = folder.tipring(&["accounts", "import", demo.to_str().unwrap(), "--config", outside.to_str().unwrap()]).output().unwrap();
    assert_eq!(import.status.code(), Some(2));
}

#[tokio::test]
async fn sigterm_ends_the_program_cleanly_and_the_fixture_configurations_start() {
    let folder = Folder::new("term");
    let api: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let config = folder.config(&api.to_string(), "[accounts]\nfile = \"accounts.csv\"");
    folder.accounts(10);
    let mut daemon = Process(folder.tipring(&["directory", "--config", config.to_str().unwrap()]).spawn().unwrap());
    up(api).await;
    let c = client(api);
    c.register(&login(1), &ask(1)).await.unwrap();
    let term = Command::new("kill").args(["-TERM", &daemon.0.id().to_string()]).status().unwrap();
    assert!(term.success());
    let code = tokio::task::spawn_blocking(move || daemon.0.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(0));
    let wal = folder.0.join("lan/directory.sqlite-wal");
    assert!(!wal.exists() || std::fs::metadata(wal).unwrap().len() == 0, "the journal is folded in");
    for name in ["directory", "bench-directory"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/config/{name}.toml"));
        let read = tipring::config::directory::parse(&path, std::fs::read_to_string(&path).unwrap(), &folder.0);
        let mut config = read.unwrap_or_else(|problems| panic!("{problems:?}"));
        config.api.listen.set_port(0);
        config.api.tls_listen.iter_mut().for_each(|a| a.set_port(0));
        let any_port = || tipring::config::sip::Listen::new(vec!["127.0.0.1:0".parse().unwrap()]);
        let sip = config.sip.as_mut().expect("the fixtures have a SIP door");
        (sip.listen, sip.tls_listen) = (any_port(), any_port());
        tipring::shell::directory::start(config).await.unwrap().stop().await;
    }
}
