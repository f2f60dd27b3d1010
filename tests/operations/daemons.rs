//! How daemons tell that they are well: to the service manager, to a scraper, to whoever asks; and the units that run them.

use super::skip::skip;
use super::stage::*;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};
use tipring::shell::directory_client::{DirectoryClient, Timeouts};

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
}

impl Manager {
    fn open(folder: &Folder) -> Manager {
        let path = folder.0.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Manager { socket, path }
    }
    fn heard(&self) -> String {
        let mut buffer = [0; 4096];
        let n = self.socket.recv(&mut buffer).unwrap_or_else(|e| panic!("the daemon says nothing: {e}"));
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }
    fn start(&self, folder: &Folder, verb: &str, config: &str, watchdog_us: &str) -> Daemon {
        let mut command = folder.tipring(&[verb, "--config", folder.0.join(config).to_str().unwrap()]);
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", watchdog_us);
        folder.start_with(command, config)
    }
    /// Signs of life in a second and a half.
    fn signs(&self) -> usize {
        let until = Instant::now() + Duration::from_millis(1500);
        let mut signs = 0;
        while Instant::now() < until {
            signs += self.heard().lines().filter(|l| *l == "WATCHDOG=1").count();
        }
        signs
    }
    fn hears_the_end(&self) {
        while !self.heard().lines().any(|l| l == "STOPPING=1") {}
    }
}

fn gateway(folder: &Folder, directory: SocketAddr, metrics: SocketAddr) -> SocketAddr {
    let (sip, api) = (free_port(), at(free_port()));
    let media = media_ports();
    let text = format!(
        "[sip]\nlisten = \"127.0.0.1:{sip}\"\n[api]\nlisten = \"{api}\"\n[metrics]\nlisten = \"{metrics}\"\n[media]\nports = {media:?}\n\
         [directory]\napi = \"{directory}\"\n[[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"2001\"\npassword = \"pw2001\"\n"
    );
    folder.write("gw.toml", &text);
    api
}

#[test]
fn a_service_manager_hears_when_the_doors_are_open_that_we_live_and_that_we_end() {
    let folder = Folder::new("notify");
    folder.accounts(2);
    let (api, tls, metrics) = (at(free_port()), at(free_port()), at(free_port()));
    folder.directory(&format!("listen = \"{api}\"\ntls_listen = \"{tls}\""), "[accounts]\nfile = \"accounts.csv\"");
    let manager = Manager::open(&folder);
    let mut directory = manager.start(&folder, "directory", "lan.toml", "600000");
    let first = manager.heard();
    assert!(first.lines().any(|l| l == "READY=1"), "nothing is said before: {first}");
    // At once, without waiting for anything.
    assert_eq!(ask(api, "GET", "/ready", "", "").status, 200);
    assert!(std::net::TcpStream::connect(tls).is_ok());
    assert!((4..=16).contains(&manager.signs()), "three in 600 ms");
    assert_eq!(directory.terminate(), Some(0));
    manager.hears_the_end();

    let gateway_api = gateway(&folder, api, metrics);
    let mut daemon = manager.start(&folder, "gateway", "gw.toml", "600000");
    let first = manager.heard();
    assert!(first.lines().any(|l| l == "READY=1"), "{first}");
    assert_eq!(ask(gateway_api, "GET", "/health", "", "").status, 200);
    assert!((4..=16).contains(&manager.signs()));
    assert_eq!(daemon.terminate(), Some(0));
    manager.hears_the_end();
}

#[test]
fn without_a_service_manager_nothing_is_said_and_without_a_watchdog_no_sign_of_life_is() {
    let folder = Folder::new("quiet");
    let api = at(free_port());
    folder.directory(&format!("listen = \"{api}\""), "");
    let manager = Manager::open(&folder);
    let mut command = folder.tipring(&["directory", "--config", folder.0.join("lan.toml").to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", &manager.path).env_remove("WATCHDOG_USEC");
    let daemon = folder.start_with(command, "lan.toml");
    assert!(manager.heard().contains("READY=1"));
    manager.socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    assert!(manager.socket.recv(&mut [0; 100]).is_err());
    drop(daemon);
}

/// The value of a sample in a page.
fn sample(page: &str, name: &str) -> i64 {
    let line = page.lines().find(|l| l.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn health_readiness_and_counts_are_told_on_loopback_and_where_the_configuration_says() {
    let folder = Folder::new("health");
    folder.accounts(5);
    let (api, counts, of_gateway) = (at(free_port()), at(free_port()), at(free_port()));
    let more = format!("[metrics]\nlisten = \"{counts}\"\n[accounts]\nfile = \"accounts.csv\"");
    folder.directory(&format!("listen = \"{api}\""), &more);
    // The gateway alone: it is well, and not ready.
    let gateway_api = gateway(&folder, api, of_gateway);
    let mut gateway = folder.start("gateway", "gw.toml");
    gateway.up(of_gateway);
    assert_eq!(ask(gateway_api, "GET", "/health", "", "").status, 200);
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let not = ask(gateway_api, "GET", "/ready", "", "");
        assert_eq!(not.status, 503);
        if not.body.contains("the directory cannot be reached") {
            assert!(not.body.contains("phone1: "), "{}", not.body);
            break;
        }
        assert!(Instant::now() < until, "{}", not.body);
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut directory = folder.start("directory", "lan.toml");
    directory.up(api);
    let until = Instant::now() + Duration::from_secs(20);
    while ask(of_gateway, "GET", "/ready", "", "").status != 200 {
        assert!(Instant::now() < until, "{}", gateway.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let page = ask(gateway_api, "GET", "/metrics", "", "");
    assert!(page.head.contains("content-type: application/openmetrics-text"), "{}", page.head);
    assert!(page.body.ends_with("# EOF\n"));
    assert_eq!((sample(&page.body, "tipring_gateway_registrations"), sample(&page.body, "tipring_gateway_ports")), (1, 1));
    let turns = || sample(&ask(of_gateway, "GET", "/metrics", "", "").body, "tipring_gateway_ticks_total");
    let before = turns();
    std::thread::sleep(Duration::from_millis(300));
    assert!(turns() > before, "the board turns");
    assert_eq!(ask(gateway_api, "GET", "/v1/status", "", "").status, 401, "the rest wants the token");
    assert_eq!(ask(of_gateway, "GET", "/v1/status", &folder.token(), "").status, 404, "and is not told there at all");

    assert_eq!([api, counts].map(|a| (ask(a, "GET", "/health", "", "").status, ask(a, "GET", "/ready", "", "").status)), [(200, 200); 2]);
    let page = || ask(counts, "GET", "/metrics", "", "").body;
    let (registered, records) = (sample(&page(), "tipring_directory_registered"), sample(&page(), "tipring_directory_store_records_total"));
    assert_eq!(registered, 1);
    let c = DirectoryClient::new(api, Timeouts::default());
    c.register(&login(2002), &terminal(2002)).await.unwrap();
    assert!(
        c.register(&tipring::shell::directory_client::Login { user: "2003".into(), password: "guess".into() }, &terminal(2003))
            .await
            .is_err()
    );
    let after = page();
    assert_eq!(sample(&after, "tipring_directory_registered"), 2);
    assert_eq!(sample(&after, "tipring_directory_store_records_total"), records + 1);
    assert_eq!(sample(&after, "tipring_directory_failed_logins_total"), 1);
    for path in ["/v1/status", "/v1/accounts", "/v1/lookup/2001"] {
        assert_eq!(ask(counts, "GET", path, &folder.token(), "").status, 404, "{path}");
    }
    // Nothing of anybody: neither numbers nor names nor addresses.
    assert!(!after.contains("2002") && !after.contains("127.0"), "{after}");
}

#[test]
fn a_second_directory_on_one_state_does_not_start() {
    let folder = Folder::new("twice");
    let api = at(free_port());
    folder.directory(&format!("listen = \"{api}\""), "");
    let mut first = folder.start("directory", "lan.toml");
    first.up(api);
    folder.directory("listen = \"127.0.0.1:0\"", "");
    let second = folder.run(&["directory", "--config", folder.0.join("lan.toml").to_str().unwrap()]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(2) && said.contains("another directory runs on this state"), "{said}");
    first.kill();
    let mut third = folder.start("directory", "lan.toml");
    std::thread::sleep(Duration::from_millis(500));
    assert!(third.child.try_wait().unwrap().is_none(), "the lock goes with its holder, however he ends");
}

#[test]
fn the_units_are_what_systemd_reads() {
    let folder = Folder::new("units");
    if std::process::Command::new("systemd-analyze").arg("--version").output().is_err() {
        skip("there is no systemd-analyze");
        return;
    }
    for name in ["tipring-directory.service", "tipring-gateway.service"] {
        let unit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/systemd").join(name);
        let text = std::fs::read_to_string(unit).unwrap().replace("/usr/local/bin/tipring", env!("CARGO_BIN_EXE_tipring"));
        let path = folder.write(name, &text);
        let out = std::process::Command::new("systemd-analyze").args(["verify", "--man=no", path.to_str().unwrap()]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let about_it: Vec<&str> = said.lines().filter(|l| l.contains(name)).collect();
        assert!(about_it.is_empty(), "{said}");
        // The control: it does read them.
        let wrong = folder.write(name, &text.replace("Type=notify", "Type=notifi"));
        let out = std::process::Command::new("systemd-analyze").args(["verify", "--man=no", wrong.to_str().unwrap()]).output().unwrap();
        assert!(String::from_utf8_lossy(&out.stderr).contains("notifi"));
    }
}
