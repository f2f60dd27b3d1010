//! People: the first admin, roles, sessions, and what a guesser hears.

use super::skip::skip;
use super::stage::*;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tipring::shell::tls::https::Trust;

struct Lan {
    folder: Folder,
    api: SocketAddr,
    tls: SocketAddr,
    daemon: Daemon,
}

fn lan(name: &str, more: &str) -> Lan {
    let folder = Folder::new(name);
    folder.accounts(9);
    let (api, tls) = (at(free_port()), at(free_port()));
    folder.directory(&format!("listen = \"{api}\"\ntls_listen = \"{tls}\""), &format!("[accounts]\nfile = \"accounts.csv\"\n{more}"));
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(tls);
    Lan { folder, api, tls, daemon }
}

impl Lan {
    fn post(&self, path: &str, bearer: &str, body: &Value) -> Heard {
        ask(self.api, "POST", path, bearer, &body.to_string())
    }
    fn log_in(&self, user: &str, password: &str) -> Heard {
        self.post("/v1/login", "", &json!({"user": user, "password": password}))
    }
    fn session(&self, user: &str, password: &str) -> String {
        let heard = self.log_in(user, password);
        assert_eq!(heard.status, 200, "{user}: {}", heard.body);
        heard.json()["token"].as_str().unwrap().to_owned()
    }
    fn first_admin(&self) -> String {
        let token = std::fs::read_to_string(self.folder.0.join("lan/first-admin.token")).unwrap();
        let ask = json!({"token": token.trim(), "user": "ann", "password": "correct horse"});
        assert_eq!(self.post("/v1/first-admin", "", &ask).status, 200);
        self.session("ann", "correct horse")
    }
}

#[test]
fn req_d17_there_is_no_default_password_and_the_first_admin_is_made_once_with_the_token_of_the_first_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut lan = lan("first", "");
    let file = lan.folder.0.join("lan/first-admin.token");
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(lan.daemon.log().matches(&token).count(), 1, "said once");
    for (user, password) in [("admin", "admin"), ("admin", ""), ("root", "password"), ("ann", "correct horse")] {
        assert_eq!(lan.log_in(user, password).status, 401, "{user}");
    }
    // A restart keeps the token and does not say it again.
    assert_eq!(lan.daemon.terminate(), Some(0));
    lan.daemon = lan.folder.start("directory", "lan.toml");
    lan.daemon.up(lan.tls);
    assert_eq!(lan.daemon.log().matches(&token).count(), 1);
    let with = |token: &str, password: &str| lan.post("/v1/first-admin", "", &json!({"token": token, "user": "ann", "password": password}));
    assert_eq!(with(&"0".repeat(64), "correct horse").status, 403);
    assert_eq!((with(&token, "short").code().as_str(), with(&token, "ann").status), ("weak_password", 400));
    assert_eq!(with(&token, "correct horse").status, 200);
    assert!(!file.exists(), "used, and gone");
    assert_eq!(with(&token, "another horse").status, 403, "once");
    let session = lan.session("ann", "correct horse");
    assert_eq!(ask(lan.api, "GET", "/v1/me", &session, "").json()["role"], "admin");
    let database = std::fs::read(lan.folder.0.join("lan/directory.sqlite-wal")).unwrap();
    let holds = |text: &[u8]| database.windows(text.len()).any(|w| w == text);
    assert!(holds(b"$argon2id$v=19$m=19456,t=2,p=1$") && !holds(b"correct horse") && !holds(session.as_bytes()));
    assert_eq!(lan.daemon.terminate(), Some(0));
    lan.daemon = lan.folder.start("directory", "lan.toml");
    lan.daemon.up(lan.tls);
    assert!(!file.exists() && lan.log_in("ann", "correct horse").status == 200);
    assert_eq!(ask(lan.api, "GET", "/v1/me", &session, "").status, 401, "a restart logs out");
}

#[test]
fn req_d2_an_admin_does_what_the_operator_does_and_a_member_sees_what_is_theirs() {
    let lan = lan("roles", "");
    let admin = lan.first_admin();
    let bob = json!({"user": "bob", "password": "battery staple", "role": "member", "accounts": ["2003"], "numbers": ["2004"]});
    assert_eq!(lan.post("/v1/people", &admin, &bob).status, 200);
    let member = lan.session("bob", "battery staple");
    let reserve = json!({"number": "2500", "user": "2005"});
    // The control stands beside each: who may hears 200 to the very same words.
    for (method, path, body) in [
        ("GET", "/v1/people", Value::Null),
        ("GET", "/v1/accounts", Value::Null),
        ("GET", "/v1/registrations", Value::Null),
        ("POST", "/v1/reservations", reserve),
        ("POST", "/v1/people", json!({"user": "bob", "role": "member"})),
        ("POST", "/v1/accounts", json!({"user": "2600", "password": "x"})),
        ("DELETE", "/v1/people/bob", Value::Null),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let heard = |bearer: &str| ask(lan.api, method, path, bearer, &body).status;
        assert_eq!([heard(&member), heard(""), heard("guess")], [403; 3], "{method} {path}");
        assert_eq!(heard(&admin), 200, "{method} {path}");
    }
    assert_eq!(ask(lan.api, "GET", "/v1/me", &member, "").status, 401, "removed, and logged out with it");
    assert_eq!(lan.post("/v1/people", &admin, &bob).status, 200);
    let member = lan.session("bob", "battery staple");
    let me = ask(lan.api, "GET", "/v1/me", &member, "").json();
    let numbers: Vec<&str> = me["mine"].as_array().unwrap().iter().map(|n| n["number"].as_str().unwrap()).collect();
    assert_eq!((numbers, me["mine"][0]["state"].as_str()), (vec!["2003", "2004"], Some("away")));
    let of = |bearer: &str, number: &str| ask(lan.api, "GET", &format!("/v1/me/numbers/{number}"), bearer, "").status;
    assert_eq!(
        [of(&member, "2003"), of(&member, "12004"), of(&member, "2005"), of(&admin, "2005"), of("guess", "2003")],
        [200, 200, 403, 200, 401]
    );
    assert_eq!(ask(lan.api, "GET", "/v1/lookup/2003", &member, "").status, 200, "who has logged in may look up");
    assert_eq!(ask(lan.api, "GET", "/v1/lookup/2003", "", "").status, 401);
    let people = ask(lan.api, "GET", "/v1/people", &admin, "").body;
    assert!(people.contains("\"bob\"") && !people.contains("argon2") && !people.contains("password"), "{people}");
    // What they want of their numbers, and of nobody else's; an address that is told to its owner only is told to them.
    let quiet =
        |number: &str| json!({"number": number, "do_not_disturb": true, "disclosure": "consent", "fixed": "192.0.2.66:5060"}).to_string();
    let change = |bearer: &str, number: &str| ask(lan.api, "PUT", &format!("/v1/settings/{number}"), bearer, &quiet(number)).status;
    assert_eq!([change(&member, "2003"), change(&member, "2005"), change("guess", "2003"), change(&admin, "2005")], [200, 403, 401, 200]);
    let settings = |number: &str| ask(lan.api, "GET", &format!("/v1/settings/{number}"), &member, "");
    assert_eq!((settings("2003").json()["do_not_disturb"].as_bool(), settings("2005").status), (Some(true), 403));
    assert!(settings("2003").json().get("fixed").is_none(), "where a terminal stands for good is an admin's word");
    assert_eq!(ask(lan.api, "GET", "/v1/settings/2005", &admin, "").json()["fixed"], "192.0.2.66:5060");
    assert_eq!(
        ask(lan.api, "GET", "/v1/lookup/2005", &member, "").code(),
        "withheld",
        "{}",
        ask(lan.api, "GET", "/v1/lookup/2005", &member, "").body
    );
    // A person who is named like a terminal is not that terminal.
    let named = json!({"user": "2005", "password": "battery staple", "role": "member"});
    assert_eq!(lan.post("/v1/people", &admin, &named).status, 200);
    let named = lan.session("2005", "battery staple");
    assert_eq!(ask(lan.api, "GET", "/v1/settings/2005", &named, "").status, 403);
    assert_eq!(ask(lan.api, "DELETE", "/v1/registrations/2005", &named, "").status, 401);
    // The last admin stays.
    let last = ask(lan.api, "DELETE", "/v1/people/ann", &admin, "");
    assert_eq!((last.status, last.code().as_str()), (409, "last_admin"));
    // A new password ends all sessions; the old one is worth nothing.
    let other = lan.session("bob", "battery staple");
    let change = |old: &str, new: &str| lan.post("/v1/me/password", &member, &json!({"old": old, "new": new})).status;
    assert_eq!(
        [change("battery stapler", "rubber duck!"), change("battery staple", "bob"), change("battery staple", "rubber duck!")],
        [401, 400, 200]
    );
    assert_eq!([&member, &other].map(|s| ask(lan.api, "GET", "/v1/me", s, "").status), [401, 401]);
    assert_eq!([lan.log_in("bob", "battery staple").status, lan.log_in("bob", "rubber duck!").status], [401, 200]);
    let session = lan.session("bob", "rubber duck!");
    assert_eq!(ask(lan.api, "POST", "/v1/logout", &session, "").status, 200);
    assert_eq!(ask(lan.api, "GET", "/v1/me", &session, "").status, 401);
}

#[tokio::test]
async fn passwords_and_sessions_travel_by_https_or_not_at_all() {
    let folder = Folder::new("travel");
    // A listener beyond loopback, reached by an address of this machine that is none of loopback's, where there is one.
    let Some(outside) = outside_address() else {
        skip("this machine has no address but loopback");
        return;
    };
    let (api, tls) = (free_port(), free_port());
    let listen = format!("listen = \"0.0.0.0:{api}\"\nplaintext = true\ntls_listen = \"0.0.0.0:{tls}\"");
    folder.directory(&listen, "");
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(at(tls));
    let fingerprint = ask(at(api), "GET", "/v1/status", "", "").json()["tls_fingerprint"].as_str().unwrap().to_owned();
    let trust = Trust::Pinned(tipring::key::Fingerprint::parse(&fingerprint).unwrap());
    let token = std::fs::read_to_string(folder.0.join("lan/first-admin.token")).unwrap();
    let first = json!({"token": token, "user": "ann", "password": "correct horse"}).to_string();
    let words = json!({"user": "ann", "password": "correct horse"}).to_string();
    let (clear, secure) = (SocketAddr::new(outside.into(), api), SocketAddr::new(outside.into(), tls));
    let from = outside.to_string();
    let refused = ask_from(&from, clear, "POST", "/v1/first-admin", "", &first).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (403, "https_wanted"));
    assert_eq!(ask_tls(secure, &trust, "POST", "/v1/first-admin", "", &first).await.unwrap().status, 200, "{}", daemon.log());
    assert_eq!(ask_from(&from, clear, "POST", "/v1/login", "", &words).unwrap().code(), "https_wanted");
    let session = ask_tls(secure, &trust, "POST", "/v1/login", "", &words).await.unwrap();
    let session = session.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(ask_tls(secure, &trust, "GET", "/v1/accounts", &session, "").await.unwrap().status, 200, "an admin from elsewhere");
    assert_eq!(ask_from(&from, clear, "GET", "/v1/accounts", &session, "").unwrap().status, 403, "the token in the clear is none");
    assert_eq!(
        ask_tls(secure, &trust, "GET", "/v1/accounts", &folder.token(), "").await.unwrap().status,
        403,
        "the operator's is for loopback"
    );
    assert_eq!(ask_from(&from, clear, "GET", "/metrics", "", "").unwrap().status, 403);
}

/// An IPv4 address of this machine by which it would speak to others.
fn outside_address() -> Option<std::net::Ipv4Addr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

#[test]
fn req_d17_a_guesser_hears_one_error_and_then_nothing_and_others_go_on() {
    let lan = lan("guess", "[bans]\naccount_failures = 3\nsource_failures = 12\nban_s = 2");
    let _admin = lan.first_admin();
    let from = |source: &str, user: &str, password: &str| {
        let body = json!({"user": user, "password": password}).to_string();
        ask_from(source, lan.api, "POST", "/v1/login", "", &body).unwrap()
    };
    // Who exists and who does not, a wrong password and no password: word for word the same.
    let known = from("127.0.0.2", "ann", "wrong password");
    let unknown = from("127.0.0.3", "nobody", "wrong password");
    let mute = from("127.0.0.4", "ann", "");
    let strip =
        |h: &Heard| (h.status, h.body.clone(), h.head.lines().filter(|l| !l.starts_with("date")).map(str::to_owned).collect::<Vec<_>>());
    assert_eq!([strip(&known), strip(&mute)], [strip(&unknown), strip(&unknown)]);
    assert_eq!((known.status, known.code().as_str()), (401, "wrong_credentials"));
    // And at the same cost: argon2 takes milliseconds, and a shortcut would take none.
    let time = |user: &str, source: &str| {
        let began = Instant::now();
        from(source, user, "wrong password");
        began.elapsed()
    };
    let (with, without) =
        ((5..8).map(|n| time("ann", &format!("127.0.0.{n}"))).min(), (5..8).map(|n| time("nobody", &format!("127.0.1.{n}"))).min());
    let (with, without) = (with.unwrap(), without.unwrap());
    assert!(without * 3 > with && with * 3 > without, "known {with:?}, unknown {without:?}");
    // The third failure at one name is the last that is heard.
    assert_eq!([(); 2].map(|()| from("127.0.0.2", "ann", "wrong password").status), [401, 401]);
    let banned = from("127.0.0.2", "ann", "correct horse");
    assert_eq!((banned.status, banned.code().as_str()), (429, "too_many_failures"), "with the right password too");
    assert!(banned.head.contains("\r\nretry-after: "), "{}", banned.head);
    assert_eq!(from("127.0.0.9", "ann", "correct horse").status, 200, "its owner elsewhere");
    // Digest, as terminals have it, is counted too; a person's name and a terminal's are not the same.
    let digest = |source: &str, response: &str| {
        let nonce = ask_from(source, lan.api, "GET", "/v1/lookup/2001", "", "").unwrap().head;
        let nonce = nonce.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let request = format!(
            "GET /v1/lookup/2001 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Digest username=\"2001\", realm=\"lan.test\", nonce=\"{nonce}\", uri=\"/v1/lookup/2001\", response=\"{response}\", \
             algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\"\r\n\r\n"
        );
        raw_from(source, lan.api, &request)
    };
    let wrong = "0".repeat(64);
    assert_eq!([(); 3].map(|()| digest("127.0.0.20", &wrong).0), [401; 3]);
    let (status, head) = digest("127.0.0.20", &wrong);
    assert!(status == 429 && head.contains("\r\nretry-after: "), "{head}");
    assert_eq!(digest("127.0.0.21", &wrong).0, 401, "another source is another");
    let log = lan.daemon.log();
    let lines = |what: &str| log.lines().filter(|l| l.contains(what)).count();
    assert_eq!(lines("banned: source=127.0.0.2 account=\"person:ann\""), 1, "{log}");
    assert_eq!(lines("log-in failed: source=127.0.0.2 "), 1, "one line a source and minute: {log}");
    assert!(!log.contains("correct horse") && !log.contains("wrong password"), "no password in the log");
    let until = Instant::now() + Duration::from_secs(10);
    while from("127.0.0.2", "ann", "correct horse").status != 200 {
        assert!(Instant::now() < until, "the ban does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn raw_from(from: &str, to: SocketAddr, request: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = std::net::TcpStream::from(socket);
    stream.write_all(request.as_bytes()).unwrap();
    let mut out = String::new();
    let _cut_off = stream.read_to_string(&mut out);
    (out.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0), out.to_ascii_lowercase())
}

#[test]
fn req_d17_who_is_not_on_the_list_is_not_heard_at_all() {
    let folder = Folder::new("access");
    folder.accounts(3);
    let (api, sip, dns) = (at(free_port()), at(free_port()), at(free_port()));
    let more = format!(
        "[sip]\nlisten = \"{sip}\"\n[enum]\nlisten = \"{dns}\"\n[access]\nsip = [\"127.0.0.8/29\"]\nenum = [\"127.0.0.9\"]\napi = [\"127.0.0.16/28\", \"192.0.2.0/24\"]\n[accounts]\nfile = \"accounts.csv\"\n\
         [lookup]\ncredentials = \"anyone\""
    );
    folder.directory(&format!("listen = \"{api}\""), &more);
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(api);
    let options = |from: &str| {
        let socket = std::net::UdpSocket::bind((from, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let here = socket.local_addr().unwrap();
        let text = format!(
            "OPTIONS sip:ping@lan.test SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\nFrom: <sip:p@lan.test>;tag=1\r\n\
             To: <sip:ping@lan.test>\r\nCall-ID: {here}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(text.as_bytes(), sip).unwrap();
        socket.recv(&mut [0; 2000]).is_ok()
    };
    assert!(options("127.0.0.9"));
    assert!(!options("127.0.0.1") && !options("127.0.0.1") && !options("127.0.0.40"));
    let query = |from: &str| {
        let socket = std::net::UdpSocket::bind((from, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let soa = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04enum\x03lan\x04test\x00\x00\x06\x00\x01";
        socket.send_to(soa, dns).unwrap();
        socket.recv(&mut [0; 2000]).is_ok()
    };
    assert!(query("127.0.0.9") && !query("127.0.0.1"));
    // A connection of SIP is closed on before anything is said.
    let tcp = |from: &str| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&sip.into()).unwrap();
        let stream = std::net::TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        std::io::Read::read(&mut &stream, &mut [0; 10]).map_err(|e| e.kind())
    };
    assert!(matches!(tcp("127.0.0.1"), Ok(0)));
    assert!(matches!(tcp("127.0.0.9"), Err(std::io::ErrorKind::WouldBlock)), "it waits for a message");
    // The operator on this machine is always let in; loopback is one network here, so the API's list is seen by its other half.
    assert_eq!(ask(api, "GET", "/health", "", "").status, 200);
    let status = ask(api, "GET", "/v1/status", "", "").json();
    assert_eq!(status["turned_away"], 5);
    let log = daemon.log();
    assert_eq!(log.lines().filter(|l| l.contains("turned away: source=127.0.0.1 door=sip")).count(), 1, "{log}");
    let out = folder.run(&[
        "check",
        "--config",
        folder.directory("listen = \"127.0.0.1:0\"", "[access]\nsip = [\"10.0.0.1/8\"]").to_str().unwrap(),
    ]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && said.contains("lan.toml:7: access.sip: \"10.0.0.1/8\" names a host and a prefix"), "{said}");
}
