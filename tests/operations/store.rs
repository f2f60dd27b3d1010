//! Backup, restore, CSV and a disk that is full: through the real program, while it runs.

use super::skip::skip;
use super::stage::*;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tipring::api::directory::LookupAnswer;
use tipring::shell::directory_client::{ClientError, DirectoryClient, Timeouts};

fn client(api: SocketAddr) -> DirectoryClient {
    DirectoryClient::new(api, Timeouts::default())
}
fn said(out: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
fn config_of(folder: &Folder) -> String {
    folder.0.join("lan.toml").to_str().unwrap().to_owned()
}
async fn is_found(c: &DirectoryClient, n: usize) -> bool {
    matches!(c.lookup(Some(&login(2001)), &n.to_string()).await, Ok(LookupAnswer::Found(_)))
}

#[tokio::test]
async fn req_c2_a_backup_of_a_running_directory_has_all_that_was_acknowledged_before_it_and_restores() {
    let folder = Folder::new("backup");
    folder.accounts(800);
    let api = at(free_port());
    folder.directory(&format!("listen = \"{api}\""), "[accounts]\nfile = \"accounts.csv\"");
    let config = config_of(&folder);
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(api);
    let c = Arc::new(client(api));
    for n in 2001..2101 {
        c.register(&login(n), &terminal(n)).await.unwrap();
    }
    // Writers go on while the copies are taken.
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|lane| {
            let (c, stop) = (c.clone(), stop.clone());
            tokio::spawn(async move {
                let mut refused = 0;
                for n in (2101 + lane..2801).step_by(4).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    refused += usize::from(c.register(&login(n), &terminal(n)).await.is_err());
                }
                refused
            })
        })
        .collect();
    let file = folder.0.join("copy.db");
    let (f, cfg) = (file.clone(), config.clone());
    let folder = Arc::new(folder);
    let there = folder.clone();
    let copies = tokio::task::spawn_blocking(move || {
        (0..5).map(|_| there.run(&["backup", "--config", &cfg, "--out", f.to_str().unwrap(), "--json"])).collect::<Vec<_>>()
    });
    for out in copies.await.unwrap() {
        assert_eq!(out.status.code(), Some(0), "{}", said(&out));
        assert!(serde_json::from_slice::<Value>(&out.stdout).unwrap()["rows"].as_u64().unwrap() >= 900);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert_eq!(writer.await.unwrap(), 0, "nobody was refused meanwhile");
    }
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.0.join("copy.db-wal").exists() && !folder.0.join("copy.db.new").exists(), "one file");

    // What happens after the copy is gone after the restore, and what was before is back.
    c.deregister(&login(2001), "2001", "terminal-2001").await.unwrap();
    let file = file.to_str().unwrap();
    let refused = folder.run(&["restore", "--config", &config, file]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("a directory runs on this state"), "{}", said(&refused));
    daemon.kill();
    let restored = folder.run(&["restore", "--config", &config, file]);
    assert_eq!(restored.status.code(), Some(0), "{}", said(&restored));
    assert!(folder.0.join("lan/directory.sqlite.before-restore").exists());
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(api);
    for n in 2001..2101 {
        assert!(is_found(&c, n).await, "{n}");
    }
    drop(daemon);
    // And the way back: what was there before had the deregistration, which only the journal knew when the process was killed.
    let before = folder.0.join("lan/directory.sqlite.before-restore");
    let back = folder.run(&["restore", "--config", &config, before.to_str().unwrap()]);
    assert_eq!(back.status.code(), Some(0), "{}", said(&back));
    assert!(folder.0.join("lan/directory.sqlite.before-restore-2").exists(), "both are kept");
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(api);
    assert!(!is_found(&c, 2001).await && is_found(&c, 2002).await);
}

#[test]
fn a_file_that_is_no_whole_backup_of_this_domain_is_refused_and_changes_nothing() {
    let folder = Folder::new("refuse");
    folder.accounts(2);
    folder.directory("listen = \"127.0.0.1:0\"", "");
    let config = config_of(&folder);
    let import = |n: usize| folder.run(&["accounts", "import", folder.accounts(n).to_str().unwrap(), "--config", &config]).status.success();
    assert!(import(500));
    let good = folder.0.join("good.db");
    assert!(folder.run(&["backup", "--config", &config, "--out", good.to_str().unwrap()]).status.success());
    let bytes = std::fs::read(&good).unwrap();
    let broken = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        let path = folder.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let other = folder.0.join("other.db");
    std::fs::copy(&good, &other).unwrap();
    let database = rusqlite::Connection::open(&other).unwrap();
    database.execute_batch("UPDATE realm SET domain = 'other.test'").unwrap();
    drop(database);
    let newer = folder.0.join("newer.db");
    std::fs::copy(&good, &newer).unwrap();
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let alien = folder.0.join("alien.db");
    rusqlite::Connection::open(&alien).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    let before = std::fs::read(folder.0.join("lan/directory.sqlite")).unwrap();
    for (file, words) in [
        (folder.0.join("missing.db"), "No such file"),
        (
            broken("text.db", &|b| *b = b"not a database, whatever its name says; and long enough to have a header of one".repeat(9)),
            "not a database",
        ),
        (broken("short.db", &|b| b.truncate(b.len() / 2)), "damaged"),
        (broken("holes.db", &|b| b[8192..16384].fill(0x5a)), "damaged"),
        (other, "of the domain other.test"),
        (newer, "its schema is version 999"),
        (alien, "no directory's database"),
    ] {
        let out = folder.run(&["restore", "--config", &config, file.to_str().unwrap()]);
        assert!(out.status.code() == Some(2) && said(&out).contains(words), "{}: {}", file.display(), said(&out));
        assert!(said(&out).trim().lines().count() == 1, "one line: {}", said(&out));
    }
    assert_eq!(std::fs::read(folder.0.join("lan/directory.sqlite")).unwrap(), before);
    assert!(!folder.0.join("lan/directory.sqlite.before-restore").exists());
    assert_eq!(folder.run(&["restore", "--config", &config, good.to_str().unwrap()]).status.code(), Some(0), "the control");
}

#[tokio::test]
async fn tables_go_out_and_come_in_as_csv_and_passwords_never() {
    let folder = Folder::new("csv");
    folder.accounts(20);
    let api = at(free_port());
    folder.directory(&format!("listen = \"{api}\""), "[accounts]\nfile = \"accounts.csv\"");
    let config = config_of(&folder);
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(api);
    let first = folder.say(&["accounts", "first-admin", "ann", "--config", &config], "correct horse\n");
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    let again = folder.say(&["accounts", "first-admin", "eve", "--config", &config], "correct horse\n");
    assert!(again.status.code() == Some(2) && said(&again).contains("there may be an admin already"), "{}", said(&again));
    let bob = folder.say(
        &["accounts", "add", "bob", "--role", "member", "--account", "2003", "--number", "2004", "--config", &config],
        "battery staple",
    );
    assert_eq!(bob.status.code(), Some(0), "{}", said(&bob));
    let phone = folder.say(&["accounts", "add", "2500", "--config", &config], "secret\n");
    assert_eq!(phone.status.code(), Some(0), "{}", said(&phone));
    let weak = folder.say(&["accounts", "add", "carl", "--role", "member", "--config", &config], "short");
    assert!(weak.status.code() == Some(2) && said(&weak).contains("8 characters"), "{}", said(&weak));
    let people = folder.write("people.csv", "user,password\ncarl,\"pass, word\",2005\ndora,eight or more\n");
    let imported = folder.run(&["accounts", "import", people.to_str().unwrap(), "--role", "member", "--config", &config]);
    assert_eq!(said(&imported), "2 people\n");
    assert_eq!(ask(api, "POST", "/v1/login", "", &json!({"user": "carl", "password": "pass, word"}).to_string()).status, 200);
    let list = said(&folder.run(&["accounts", "list", "--config", &config]));
    for row in ["2001  terminal  2001", "ann   admin     -", "bob   member    2003 2004", "carl  member    2005"] {
        assert!(list.contains(row), "{list}");
    }
    let rows: Value = serde_json::from_slice(&folder.run(&["accounts", "--config", &config, "--json"]).stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 25);
    assert_eq!(folder.run(&["accounts", "remove", "dora", "--person", "--config", &config]).status.code(), Some(0));
    assert_eq!(folder.run(&["accounts", "remove", "dora", "--person", "--config", &config]).status.code(), Some(1));
    let reserve = folder.run(&["reservations", "add", "2600", "2001", "--config", &config]);
    assert_eq!(reserve.status.code(), Some(0), "{}", said(&reserve));
    let c = client(api);
    c.register(&login(2001), &terminal(2001)).await.unwrap();
    c.register(&login(2002), &terminal(2002)).await.unwrap();
    assert!(said(&folder.run(&["registrations", "list", "--config", &config])).contains("2002"));
    assert_eq!(folder.run(&["registrations", "remove", "2002", "--config", &config]).status.code(), Some(0));
    assert!(!is_found(&c, 2002).await);
    let bound = folder.run(&["reservations", "add", "2700", "2001", "--mac", "02:00:00:00:00:07", "--config", &config]);
    assert_eq!(bound.status.code(), Some(0), "{}", said(&bound));
    assert!(said(&folder.run(&["reservations", "list", "--config", &config])).contains("2700    2001  02:00:00:00:00:07"));
    assert_eq!(folder.run(&["reservations", "remove", "2700", "--config", &config]).status.code(), Some(0));

    let export = |table: &str, more: &[&str]| {
        let out = folder.run(&[&["export", table, "--config", &config], more].concat());
        assert_eq!(out.status.code(), Some(0), "{}", said(&out));
        String::from_utf8(out.stdout).unwrap()
    };
    let tables: Vec<String> = ["registrations", "reservations", "accounts", "people"].iter().map(|t| export(t, &[])).collect();
    assert!(tables[0].lines().nth(1).unwrap().starts_with("2001,2001,,,127.0.1.1:12001 UDP - 1000 3600 "), "{}", tables[0]);
    assert_eq!(tables[1], "number,user,mac\n2600,2001,\n");
    assert_eq!((tables[2].lines().next(), tables[2].lines().count()), (Some("user,number"), 22));
    assert_eq!(tables[3], "user,role,accounts,numbers\nann,admin,,\nbob,member,2003,2004\ncarl,member,,2005\n");
    let secret = |text: &str| text.contains("argon2") || text.contains("ha1_") || text.contains("pw2001") || text.contains("secret");
    assert!(tables.iter().all(|t| !secret(t)));
    let hashes = export("accounts", &["--with-hashes"]);
    assert!(hashes.starts_with("user,number,ha1_md5,ha1_sha256,ha1_sha512_256\n") && !hashes.contains("pw2001"));
    // A running daemon would not see them.
    let reservations = folder.write("r.csv", "number,user,mac\n2601,2002,02:00:00:00:00:01\n");
    let refused = folder.run(&["import", "reservations", reservations.to_str().unwrap(), "--config", &config]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("a directory runs on this state"), "{}", said(&refused));
    let with_hashes: Vec<String> =
        ["registrations", "reservations", "accounts", "people"].iter().map(|t| export(t, &["--with-hashes"])).collect();
    assert_eq!(daemon.terminate(), Some(0));

    // Into an empty directory of the same domain: all is there again, log-ins included.
    std::fs::remove_file(folder.0.join("lan/directory.sqlite")).unwrap();
    std::fs::remove_file(folder.0.join("accounts.csv")).unwrap();
    folder.directory(&format!("listen = \"{api}\""), "");
    for (table, text) in ["registrations", "reservations", "accounts", "people"].iter().zip(&with_hashes) {
        let file = folder.write(&format!("{table}.csv"), text);
        let out = folder.run(&["import", table, file.to_str().unwrap(), "--config", &config]);
        assert_eq!(said(&out), format!("{} rows\n", text.lines().count() - 1));
        assert_eq!(export(table, &["--with-hashes"]), *text, "{table}");
    }
    let import = folder.run(&["import", "reservations", reservations.to_str().unwrap(), "--config", &config]);
    assert_eq!(import.status.code(), Some(0), "{}", said(&import));
    // What cannot be is named by its line, and nothing of that file counts.
    let unchanged: Vec<String> = ["reservations", "accounts", "people"].iter().map(|t| export(t, &["--with-hashes"])).collect();
    for (table, text, words) in [
        ("reservations", "number,user\n2700,2001\n99,2001\n", "line 3: \"99\" is no number of this directory"),
        ("reservations", "number,user,mac\n2700,2001,02:00\n", "cannot be read"),
        ("reservations", "number,owner\n2700,2001\n", "line 1: \"owner\" is no column"),
        ("reservations", "user\n2001\n", "line 1: there is no column number"),
        ("reservations", "number,user\n2700\n", "line 2: 1 fields"),
        ("reservations", "", "the file is empty"),
        (
            "accounts",
            "user,number\n2001,2001\n2999,2999\n",
            "line 3: this row is new, and the file has no ha1_md5, ha1_sha256: export it with --with-hashes",
        ),
        ("accounts", "user,number,ha1_md5,ha1_sha256\n2999,2999,zz,00\n", "line 2: ha1_md5: it is not in hex"),
        (
            "people",
            "user,password,role,accounts,numbers\neve,\"$argon2id$v=19$m=4000000,t=9,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA\",admin,,\n",
            "password: it is no argon2id hash",
        ),
        ("people", "user,role\nann,king\n", "cannot be read"),
    ] {
        let file = folder.write("bad.csv", text);
        let out = folder.run(&["import", table, file.to_str().unwrap(), "--config", &config]);
        assert!(out.status.code() == Some(2) && said(&out).contains(words), "{table} {text}: {}", said(&out));
    }
    let now: Vec<String> = ["reservations", "accounts", "people"].iter().map(|t| export(t, &["--with-hashes"])).collect();
    assert_eq!(now, unchanged);
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(api);
    assert!(is_found(&c, 2001).await);
    assert_eq!(ask(api, "POST", "/v1/login", "", &json!({"user": "bob", "password": "battery staple"}).to_string()).status, 200);
    assert!(!folder.0.join("lan/first-admin.token").exists(), "there is an admin");
}

#[tokio::test]
async fn req_c2_a_full_disk_refuses_registrations_and_loses_nothing_and_look_ups_go_on() {
    let folder = Folder::new("full");
    let disk = folder.0.join("disk");
    std::fs::create_dir(&disk).unwrap();
    // A small disk of its own: a tmpfs in a mount namespace, into which /proc leads.
    let able = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk.to_str().unwrap()]).output();
    if !able.is_ok_and(|out| out.status.success()) {
        skip("this system does not let us mount a tmpfs in a namespace (unshare -rm)");
        return;
    }
    folder.accounts(500);
    let api = at(free_port());
    let path = folder.directory(&format!("listen = \"{api}\""), "[accounts]\nfile = \"accounts.csv\"");
    let mut command = Command::new("unshare");
    let line = format!(
        "mount -t tmpfs -o size=4m tmpfs {d} && exec {bin} directory --config {c}",
        d = disk.display(),
        bin = env!("CARGO_BIN_EXE_tipring"),
        c = path.display()
    );
    command.args(["-rm", "sh", "-c", &line]).env("TIPRING_STATE", &disk).env_remove("NOTIFY_SOCKET");
    let mut daemon = folder.start_with(command, "lan.toml");
    daemon.up(api);
    let inside = format!("/proc/{}/root{}", daemon.child.id(), disk.display());
    assert!(std::fs::metadata(format!("{inside}/lan/directory.sqlite")).is_ok(), "the state lies on the small disk");
    let c = client(api);
    let health = || ask(api, "GET", "/health", "", "").status;
    let mut acknowledged = Vec::new();
    for n in 2001..2101 {
        c.register(&login(n), &terminal(n)).await.unwrap();
        acknowledged.push(n);
    }
    assert_eq!(health(), 200);
    let ballast = format!("{inside}/ballast");
    let fill = || {
        use std::io::Write as _;
        let mut file = std::fs::File::options().create(true).append(true).open(&ballast).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    fill();
    // The journal has some room of its own: it is written until that is used up too.
    let until = Instant::now() + Duration::from_secs(30);
    let mut refusal = None;
    while refusal.is_none() {
        for n in 2101..2401 {
            match c.register(&login(n), &terminal(n)).await {
                Ok(_) => acknowledged.push(n),
                Err(e) => {
                    refusal = Some(e);
                    break;
                }
            }
        }
        assert!(Instant::now() < until, "the disk is not full");
    }
    assert!(matches!(&refusal, Some(ClientError::Refused { status: 503, retry_after_s: Some(_), .. })), "{refusal:?}");
    let sick = ask(api, "GET", "/health", "", "");
    assert!(sick.status == 503 && sick.body.contains("the store cannot write"), "{}", sick.body);
    assert_eq!(ask(api, "GET", "/ready", "", "").status, 200, "look-ups go on");
    assert!(ask(api, "GET", "/metrics", "", "").body.contains("\ntipring_directory_store_failing 1\n"));
    acknowledged.sort_unstable();
    acknowledged.dedup();
    for n in &acknowledged {
        assert!(is_found(&c, *n).await, "{n}");
    }
    for n in 2401..2411 {
        assert!(matches!(c.register(&login(n), &terminal(n)).await, Err(ClientError::Refused { status: 503, .. })), "{n}");
        assert!(!is_found(&c, n).await, "{n} was refused, so nothing was changed");
    }
    let told = daemon.log().lines().filter(|l| l.contains("the store cannot write")).count();
    assert_eq!(told, 1, "{}", daemon.log());
    // Space is back: it goes on by itself.
    std::fs::remove_file(&ballast).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while health() != 200 {
        assert!(Instant::now() < until, "it does not recover: {}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    c.register(&login(2401), &terminal(2401)).await.unwrap();
    acknowledged.push(2401);
    // What the disk has: the database is copied out of the namespace as it lies after SIGKILL.
    let copy = folder.0.join("lan");
    std::fs::create_dir(&copy).unwrap();
    let stop = Command::new("kill").args(["-STOP", &daemon.child.id().to_string()]).status().unwrap();
    assert!(stop.success());
    for name in ["directory.sqlite", "directory.sqlite-wal"] {
        std::fs::copy(format!("{inside}/lan/{name}"), copy.join(name)).unwrap();
    }
    daemon.kill();
    let mut daemon = folder.start("directory", "lan.toml");
    daemon.up(api);
    for n in acknowledged {
        assert!(is_found(&c, n).await, "{n} was acknowledged");
    }
}

#[test]
fn registrations_go_out_as_they_hold_with_what_only_the_journals_know() {
    let folder = Folder::new("journals");
    folder.directory("listen = \"127.0.0.1:0\"", "");
    let config = config_of(&folder);
    let none = folder.write("none.csv", "number,user,mac\n");
    assert_eq!(folder.run(&["import", "reservations", none.to_str().unwrap(), "--config", &config]).status.code(), Some(0));
    let contact = |port: u16| format!("127.0.1.1:{port} UDP - 1000 3600 4000000000000 0 0 gw - sip:x@127.0.1.1:{port}");
    let database = folder.0.join("lan/directory.sqlite");
    let db = rusqlite::Connection::open(&database).unwrap();
    for number in ["2001", "2002", "2003"] {
        db.execute("INSERT INTO whereabouts VALUES (?1,'u',NULL,'',?2)", [number, &contact(1)]).unwrap();
    }
    for (table, seq, number, port) in
        [("a", 5, "2002", None), ("a", 6, "2003", Some(2)), ("b", 7, "2003", Some(3)), ("b", 8, "2004", Some(4)), ("a", 4, "2004", None)]
    {
        let user = port.map(|_| "u");
        let sql = format!("INSERT INTO journal_{table} VALUES (?1,?2,?3,NULL,?4,?5)");
        db.execute(&sql, rusqlite::params![seq, number, user, user.map(|_| ""), port.map(contact)]).unwrap();
    }
    drop(db);
    let export = || said(&folder.run(&["export", "registrations", "--config", &config]));
    let row = |number: &str, port: u16| format!("{number},u,,,{}\n", contact(port));
    let held = format!("number,user,picked_for,keys,contacts\n{}{}{}", row("2001", 1), row("2003", 3), row("2004", 4));
    assert_eq!(export(), held);
    let more = folder.write("more.csv", &format!("number,user,picked_for,keys,contacts\n{}", row("2005", 5)));
    assert_eq!(said(&folder.run(&["import", "registrations", more.to_str().unwrap(), "--config", &config])), "1 rows\n");
    assert_eq!(export(), held + &row("2005", 5));
    let db = rusqlite::Connection::open(&database).unwrap();
    let left: i64 = db.query_row("SELECT (SELECT count(*) FROM journal_a) + (SELECT count(*) FROM journal_b)", [], |r| r.get(0)).unwrap();
    assert_eq!(left, 0, "the journals would lie over what came in");
}
