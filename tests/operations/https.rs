//! The directory by HTTPS: who is believed, who is not, and what stays in the clear.

use super::stage::*;
use std::time::{Duration, Instant};
use tipring::config::server::Server;
use tipring::shell::directory_client::{ClientError, DirectoryClient, Timeouts};
use tipring::shell::tls::https::Trust;

fn gateway(folder: &Folder, name: &str, directory: &str) -> std::net::SocketAddr {
    let (sip, api) = (free_port(), free_port());
    let media = media_ports();
    let text = format!(
        "[sip]\nlisten = \"127.0.0.1:{sip}\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n[media]\nports = {media:?}\n[directory]\n{directory}\n\
         [[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"2001\"\npassword = \"pw2001\"\n"
    );
    folder.write(name, &text);
    at(api)
}

/// What `tipring status` says of the gateway's registration, once `until` is satisfied with it.
fn status_of(folder: &Folder, config: &str, until: impl Fn(&str) -> bool) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let out = folder.run(&["status", "--config", folder.0.join(config).to_str().unwrap()]);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let line = said.lines().find(|l| l.contains("phone1") && l.contains("2001") || l.contains("phone1")).unwrap_or_default().to_owned();
        if until(&line) {
            return line;
        }
        assert!(Instant::now() < end, "{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn req_d2_a_gateway_registers_by_https_with_whom_it_believes_and_with_nobody_else() {
    let folder = Folder::new("https");
    folder.accounts(3);
    let (clear, tls) = (at(free_port()), at(free_port()));
    let more = "[accounts]\nfile = \"accounts.csv\"";
    folder.directory(&format!("listen = \"{clear}\"\ntls_listen = \"{tls}\""), more);
    let mut directory = folder.start("directory", "lan.toml");
    directory.up(tls);
    let status = ask(clear, "GET", "/v1/status", "", "").json();
    let fingerprint = status["tls_fingerprint"].as_str().unwrap().to_owned();
    assert!(directory.log().contains(&format!("HTTPS on {tls}, certificate {fingerprint}")), "{}", directory.log());
    let registered = |line: &str| line.contains("registered") && !line.contains("not registered");
    let certificate = folder.0.join("lan/tls-certificate.pem");
    let certificate = certificate.to_str().unwrap();
    // A dead server in front costs its share of the time; the one that answers is asked first from then on.
    let dead = at(free_port());
    let right: [(&str, String); 3] = [
        ("pinned.toml", format!("api = \"https://{tls}\"\nfingerprint = \"{fingerprint}\"")),
        ("ca.toml", format!("api = [\"https://{dead}\", \"https://{tls}\"]\nca = \"{certificate}\"")),
        ("name.toml", format!("api = \"https://localhost:{}\"\nfingerprint = \"{fingerprint}\"", tls.port())),
    ];
    for (name, keys) in right {
        let api = gateway(&folder, name, &keys);
        let mut daemon = folder.start("gateway", name);
        daemon.up(api);
        status_of(&folder, name, registered);
        let away = || ask(clear, "GET", "/v1/lookup/2001", &folder.token(), "").json()["status"] == "away";
        assert!(!away(), "{name}");
        assert_eq!(daemon.terminate(), Some(0));
        assert!(away(), "{name}: it gave its number back");
    }
    // Somebody in between shows another certificate: nothing is said to him, and the operator reads why.
    let other = fingerprint.replace(['A', '1'], "0");
    let wrong = [
        ("other-print.toml", format!("api = \"https://{tls}\"\nfingerprint = \"{other}\""), "it shows the certificate sha-256 "),
        ("system.toml", format!("api = \"https://{tls}\""), "its certificate is by nobody whom [directory] ca"),
        ("no-tls.toml", format!("api = \"https://{clear}\"\nfingerprint = \"{fingerprint}\""), "TLS: "),
        ("other-name.toml", format!("api = \"https://localhost:{}\"\nca = \"{certificate}\"", tls.port()), "not for the name localhost"),
    ];
    for (name, keys, words) in wrong {
        let api = gateway(&folder, name, &keys);
        let mut daemon = folder.start("gateway", name);
        daemon.up(api);
        let line = status_of(&folder, name, |line| line.contains("not registered"));
        assert!(line.contains(words), "{name}: {line}");
        assert_eq!(ask(clear, "GET", "/v1/lookup/2001", &folder.token(), "").json()["status"], "away", "{name}");
    }
    // The certificate stays the same after a restart.
    assert_eq!(directory.terminate(), Some(0));
    let mut directory = folder.start("directory", "lan.toml");
    directory.up(tls);
    assert_eq!(ask(clear, "GET", "/v1/status", "", "").json()["tls_fingerprint"], fingerprint.as_str());
}

#[tokio::test]
async fn several_directories_are_asked_in_turn_and_sessions_are_resumed() {
    let folder = Folder::new("several");
    folder.accounts(3);
    let more = "[sip]\nlisten = \"127.0.0.1:0\"\ntls_listen = \"127.0.0.1:0\"\n[accounts]\nfile = \"accounts.csv\"";
    let path = folder.directory("listen = \"127.0.0.1:0\"\ntls_listen = \"127.0.0.1:0\"", more);
    let config = tipring::config::directory::parse(&path, std::fs::read_to_string(&path).unwrap(), &folder.0).unwrap();
    let running = tipring::shell::directory::start(config).await.unwrap();
    let trust = Trust::Pinned(running.fingerprint.unwrap());
    let live: Server = format!("https://{}", running.api_tls.unwrap()).parse().unwrap();
    // One that refuses, and one that takes connections and says nothing.
    let refusing: Server = format!("https://{}", at(free_port())).parse().unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute: Server = format!("https://{}", silent.local_addr().unwrap()).parse().unwrap();
    let timeouts = Timeouts { lookup_ms: 1500, register_ms: 3000 };
    let client = DirectoryClient::of(&[refusing.clone(), mute.clone(), live.clone()], &trust, timeouts).unwrap();
    assert_eq!(client.register(&login(2001), &terminal(2001)).await.unwrap().number, "2001");
    let began = Instant::now();
    client.lookup(Some(&login(2002)), "2001").await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(400), "who answered last is asked first: {:?}", began.elapsed());
    let nobody = DirectoryClient::of(&[refusing, mute], &trust, timeouts).unwrap();
    let began = Instant::now();
    let error = nobody.lookup(Some(&login(2002)), "2001").await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable(why) if why.contains("https://127.0.0.1:")), "{error:?}");
    assert!(began.elapsed() < Duration::from_millis(1800), "{:?}", began.elapsed());
    // The second handshake of one client is a resumed one.
    let connector = tipring::shell::tls::https::connector(&trust).unwrap();
    let mut kinds = Vec::new();
    for _ in 0..3 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let stream = tokio::net::TcpStream::connect(running.api_tls.unwrap()).await.unwrap();
        let mut stream = tipring::shell::tls::https::connect(&connector, stream, "127.0.0.1").await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let _all = stream.read_to_end(&mut Vec::new()).await;
        kinds.push(format!("{:?}", stream.get_ref().1.handshake_kind().unwrap()));
    }
    assert_eq!(kinds, ["Full", "Resumed", "Resumed"]);
    // So are those of phones by SIP.
    let sip = running.sip.iter().find(|hop| hop.transport == tipring::sip::Transport::Tls).unwrap().addr;
    let connector = tipring::shell::tls::https::connector(&trust).unwrap();
    let mut kinds = Vec::new();
    for n in 0..2 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let stream = tokio::net::TcpStream::connect(sip).await.unwrap();
        let here = stream.local_addr().unwrap();
        let mut stream = tipring::shell::tls::https::connect(&connector, stream, "127.0.0.1").await.unwrap();
        let options = format!(
            "OPTIONS sip:ping@lan.test SIP/2.0\r\nVia: SIP/2.0/TLS {here};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\nFrom: <sip:p@lan.test>;tag=1\r\n\
             To: <sip:ping@lan.test>\r\nCall-ID: {here}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(options.as_bytes()).await.unwrap();
        let mut heard = [0; 12];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"SIP/2.0 200 ");
        kinds.push(format!("{:?}", stream.get_ref().1.handshake_kind().unwrap()));
    }
    assert_eq!(kinds, ["Full", "Resumed"]);
    running.stop().await;
}

#[test]
fn req_d17_http_beyond_loopback_is_refused_unless_it_is_said_twice() {
    let folder = Folder::new("clear");
    let check = |api: &str| {
        let path = folder.directory(api, "");
        let out = folder.run(&["check", "--config", path.to_str().unwrap()]);
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout))
    };
    let (code, said) = check("listen = \"0.0.0.0:0\"");
    assert!(code == Some(2) && said.contains("lan.toml:5: api.listen: 0.0.0.0:0 can be reached from outside"), "{said}");
    let started = folder.run(&["directory", "--config", folder.0.join("lan.toml").to_str().unwrap()]);
    assert_eq!(started.status.code(), Some(2));
    assert_eq!(check("listen = \"0.0.0.0:0\"\nplaintext = true").0, Some(0));
    let (code, said) = check("listen = \"127.0.0.1:0\"\ntls_listen = \"0.0.0.0:0\"");
    assert!(code == Some(0) && said.contains("0.0.0.0:0 (HTTPS, certificate made by itself)"), "{said}");
    let (code, said) = check("listen = \"127.0.0.1:0\"\ntls_listen = \"0.0.0.0:0\"\ntls_cert = \"no.pem\"");
    assert!(code == Some(2) && said.contains("lan.toml:7: api.tls_cert: "), "{said}");
    folder.write("empty.pem", "");
    let (code, said) = check("listen = \"127.0.0.1:0\"\ntls_listen = \"0.0.0.0:0\"\ntls_cert = \"empty.pem\"\ntls_key = \"empty.pem\"");
    assert!(code == Some(2) && said.contains("lan.toml:7: api.tls_cert: ") && said.contains("no certificate in it"), "{said}");
    // A gateway's side of it.
    for (keys, words) in [
        ("api = \"https://directory.lan.test:6081\"\nca = \"empty.pem\"", "gw.toml:9: directory.ca: "),
        ("api = \"https://directory.lan.test:6081\"\nfingerprint = \"sha-256 AA\"", "gw.toml:9: directory.fingerprint: is not sha-256"),
        ("api = \"127.0.0.1:6080\"\nca = \"empty.pem\"", "gw.toml:9: directory.ca: is about HTTPS"),
        ("api = \"https://directory.lan.test\"", "gw.toml:8: api: \"https://directory.lan.test\" is not ADDRESS:PORT or https://HOST:PORT"),
        ("api = []", "gw.toml:8: api: 0 directories: 1 to 8"),
        ("api = \"10.0.0.1:6080\"", "WARNING: what is said to 10.0.0.1:6080 can be read and changed on the way: use https://"),
    ] {
        gateway(&folder, "gw.toml", keys);
        let out = folder.run(&["check", "--config", folder.0.join("gw.toml").to_str().unwrap()]);
        let said = format!("{}{}", String::from_utf8_lossy(&out.stderr), String::from_utf8_lossy(&out.stdout));
        assert!(said.contains(words), "{keys}: {said}");
    }
}
