use super::*;
use crate::clock::WallMs;
use crate::digest::Ha1;
use crate::directory::record::Capabilities;
use crate::directory::revocations::Revocation;
use crate::directory::{
    Account, Binding, Disclosure, Facts, Fixed, Instance, Mac, Person, Record, Registration, Reservation, Ring, Role, Server, Settings,
    User,
};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::proof::Succession;
use crate::sip::Transport;
use rusqlite::params;

struct Folder(std::path::PathBuf);
impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}
fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("tipring-store-{name}-{}", std::process::id()));
    let _none = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    Folder(path)
}
fn records(db: &Connection) -> Vec<Record> {
    let mut all = Vec::new();
    assert_eq!(load(db, |r| all.push(r)).unwrap(), 0, "rows that cannot be read");
    all
}

#[test]
fn a_database_of_the_first_schema_is_taken_over_and_its_passwords_go_on() {
    let folder = folder("first");
    let path = folder.0.join("d.sqlite");
    {
        let db = Connection::open(&path).unwrap();
        db.execute_batch(MIGRATIONS[0]).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        let ha1 = Ha1::of("2001", "lan.test", "pw");
        db.execute("INSERT INTO accounts VALUES ('2001','2001',?1,?2)", params![ha1.md5.as_slice(), ha1.sha256.as_slice()]).unwrap();
        db.execute_batch("INSERT INTO registrations VALUES ('2001','2001','gw','10.0.0.1:5060',NULL,1,0,NULL,0,NULL,NULL,3600,9000000,0)")
            .unwrap();
    }
    let db = open(&path).unwrap();
    let all = records(&db);
    let [Record::Account(account), Record::Registration(registration)] = all.as_slice() else { panic!("{all:?}") };
    assert!(account.ha1.sha512_256.is_none() && account.ha1.same_password(&Ha1::of("2001", "lan.test", "pw")));
    let [(contact, expires)] = &*registration.contacts else { panic!("{registration:?}") };
    assert_eq!((contact.transport, &*contact.uri, expires.0), (Transport::Udp, "sip:2001@10.0.0.1:5060", 9_000_000));
    assert!(contact.is_of_the_api() && contact.capabilities().voice && registration.picked_for.is_none());
    // The password set anew brings the hash that was missing.
    let anew = Account { ha1: Ha1::of("2001", "lan.test", "pw"), ..account.clone() };
    write(&db, &Record::Account(anew.clone())).unwrap();
    assert!(records(&db).contains(&Record::Account(anew)));
}

#[test]
fn contacts_come_back_as_they_were_written() {
    let folder = folder("contacts");
    let path = folder.0.join("d.sqlite");
    let contact = |uri: &str, instance: Option<&str>, transport, facts| Binding {
        uri: uri.into(),
        address: "[2001:db8::7]:5062".parse().unwrap(),
        transport,
        hidden: true,
        instance: instance.map(|i| Instance::parse(i).unwrap()),
        q: 700,
        lease_s: 3600,
        order: (u64::MAX, 4_000_000),
        facts,
    };
    let facts = Facts {
        fingerprint: Some(Fingerprint([7; 32])),
        proven: true,
        successions: vec![Succession { certificate: vec![1, 2, 3], new: Fingerprint([7; 32]), signature: vec![4] }].into(),
        capabilities: Capabilities { voice: true, fax: true, t38_version: Some(3), srtp: true },
        private: Some("[fd00::1]:5060".parse().unwrap()),
        mac: Mac::parse("02:00:00:00:00:01"),
    };
    let row = Registration {
        number: Number::parse("2001").unwrap(),
        user: User::parse("2001").unwrap(),
        picked_for: Some(Instance::parse("sip").unwrap()),
        keys: Box::new([Fingerprint([7; 32]), Fingerprint([8; 32])]),
        contacts: Box::new([
            (contact("sip:2001@10.0.0.7;x=\"\\'", Some("urn:uuid:1"), Transport::Tls, None), WallMs(7_000_000)),
            (contact("sip:a%00b@h.invalid;transport=ws", None, Transport::Tcp, Some(Box::new(facts))), WallMs(-5)),
            (contact("sip:2001@h", Some("api,voice"), Transport::Udp, Some(Box::default())), WallMs(1)),
        ]),
    };
    let db = open(&path).unwrap();
    write(&db, &Record::Registration(Box::new(row.clone()))).unwrap();
    drop(db);
    assert_eq!(records(&open(&path).unwrap()), [Record::Registration(Box::new(row))]);
    let db = open(&path).unwrap();
    db.execute_batch("UPDATE whereabouts SET contacts = '10.0.0.1:5060 UDP - 1001 1 1 1 1 - - sip:x'").unwrap();
    assert_eq!(load(&db, |r| panic!("{r:?}")).unwrap(), 1, "an edited row is passed over and counted");
}

#[test]
fn people_come_back_as_they_were_written_and_leave() {
    let folder = folder("people");
    let path = folder.0.join("d.sqlite");
    let user = |name: &str| User::parse(name).unwrap();
    let ann = Person {
        user: user("ann@lan.test"),
        password: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        role: Role::Member,
        accounts: Box::new([user("2001"), user("gw-1")]),
        numbers: Box::new([Number::parse("2002").unwrap()]),
    };
    let bob = Person { user: user("bob"), role: Role::Admin, accounts: Box::default(), numbers: Box::default(), ..ann.clone() };
    let db = open(&path).unwrap();
    for p in [&ann, &bob] {
        write(&db, &Record::Person(p.clone())).unwrap();
    }
    drop(db);
    let db = open(&path).unwrap();
    assert_eq!(records(&db), [Record::Person(ann), Record::Person(bob.clone())]);
    write(&db, &Record::PersonRemoved(user("ann@lan.test"))).unwrap();
    assert_eq!(records(&db), [Record::Person(bob)]);
    db.execute_batch("UPDATE people SET role = 'king'").unwrap();
    assert_eq!(load(&db, |r| panic!("{r:?}")).unwrap(), 1);
}

/// One of each row that the schema of `steps` steps knows.
fn old_rows(db: &Connection, steps: usize) {
    let ha1 = Ha1::of("2001", "lan.test", "pw");
    db.execute("INSERT INTO realm VALUES ('lan.test')", []).unwrap();
    db.execute("INSERT INTO accounts (user, number, ha1_md5, ha1_sha256) VALUES ('2001','2001',?1,?2)", params![ha1.md5, ha1.sha256])
        .unwrap();
    db.execute_batch("INSERT INTO reservations VALUES ('2002','2001','02:00:00:00:00:01')").unwrap();
    if steps >= 5 {
        let row = "10.0.0.1:5060 UDP - 1000 3600 9000000 0 0 gw api,voice,fax sip:2001@10.0.0.1:5060";
        db.execute("INSERT INTO whereabouts VALUES ('2001','2001',NULL,'',?1)", [row]).unwrap();
        db.execute_batch("INSERT INTO people VALUES ('ann','$argon2id$x','admin','2001','')").unwrap();
        return;
    }
    db.execute_batch(
        "INSERT INTO registrations (number, user, instance, contact, voice, fax, srtp, lease_s, expires_ms, dynamic)
         VALUES ('2001','2001','gw','10.0.0.1:5060',1,1,0,3600,9000000,0);",
    )
    .unwrap();
    if steps >= 2 {
        let hash = ha1.sha512_256.unwrap();
        db.execute("UPDATE accounts SET ha1_sha512_256 = ?1", params![hash]).unwrap();
    }
    if steps >= 3 {
        db.execute_batch("UPDATE registrations SET transport = 'TCP'").unwrap();
        let contacts = r#"[{"uri":"sip:2002@10.0.0.7;ob","address":"192.0.2.1:40000","transport":"UDP","hidden":true,"instance":null,"q":1000,"expires_ms":8000000,"lease_s":60,"call":18446744073709551615,"cseq":17},
            {"uri":"sip:2002@10.0.0.8","address":"10.0.0.8:5061","transport":"TLS","hidden":false,"instance":"urn:uuid:1","q":500,"expires_ms":8000000,"lease_s":60,"call":1,"cseq":1}]"#;
        db.execute(
            "INSERT INTO registrations (number, user, instance, contact, voice, fax, srtp, lease_s, expires_ms, dynamic, transport, bindings)
             VALUES ('2002','2001','sip','192.0.2.1:40000',1,0,0,60,8000000,0,'UDP',?1)",
            [contacts],
        )
        .unwrap();
    }
    if steps >= 4 {
        db.execute_batch("INSERT INTO people VALUES ('ann','$argon2id$x','admin','2001','')").unwrap();
    }
}

#[test]
fn req_c2_a_database_of_every_older_schema_is_taken_over_with_all_that_it_holds() {
    let folder = folder("migrations");
    for steps in 1..=MIGRATIONS.len() {
        let path = folder.0.join(format!("{steps}.sqlite"));
        {
            let db = Connection::open(&path).unwrap();
            MIGRATIONS[..steps].iter().for_each(|step| db.execute_batch(step).unwrap());
            db.pragma_update(None, "user_version", steps as i64).unwrap();
            old_rows(&db, steps);
        }
        let before = std::fs::read(&path).unwrap();
        let db = open(&path).unwrap();
        assert_eq!(db.query_row("PRAGMA user_version", [], |r| r.get::<_, i64>(0)).unwrap(), MIGRATIONS.len() as i64);
        bind_realm(&db, "lan.test").unwrap();
        assert!(matches!(bind_realm(&db, "other.test"), Err(OpenError::OtherRealm(_))));
        let all = records(&db);
        let found = |is: fn(&Record) -> bool| all.iter().filter(|r| is(r)).count();
        assert_eq!(found(|r| matches!(r, Record::Account(a) if a.ha1.same_password(&Ha1::of("2001", "lan.test", "pw")))), 1, "{steps}");
        assert_eq!(found(|r| matches!(r, Record::Reservation(r) if r.mac.is_some())), 1, "{steps}");
        let lives = |r: &Record| {
            let Record::Registration(r) = r else { return false };
            let [(contact, expires)] = &*r.contacts else { return false };
            contact.capabilities().fax && expires.0 == 9_000_000 && contact.instance.as_ref().is_some_and(|i| i.as_str() == "gw")
        };
        assert_eq!(all.iter().filter(|r| lives(r)).count(), 1, "{steps}: {all:?}");
        if (3..5).contains(&steps) {
            let phones = all.iter().find_map(|r| match r {
                Record::Registration(r) if r.number.as_str() == "2002" => Some(&r.contacts),
                _ => None,
            });
            let [(a, _), (b, expires)] = &**phones.unwrap() else { panic!("{all:?}") };
            assert_eq!((&*a.uri, a.hidden, a.instance.is_none(), a.order.1), ("sip:2002@10.0.0.7;ob", true, true, 17));
            assert_eq!((b.transport, b.q, expires.0), (Transport::Tls, 500, 8_000_000));
        }
        assert_eq!(found(|r| matches!(r, Record::Person(_))), usize::from(steps >= 4), "{steps}");
        drop(db);
        // A newer program's is refused and left as it is.
        let newer = folder.0.join(format!("{steps}-newer.sqlite"));
        std::fs::write(&newer, before).unwrap();
        Connection::open(&newer).unwrap().pragma_update(None, "user_version", MIGRATIONS.len() as i64 + 1).unwrap();
        assert!(matches!(open(&newer), Err(OpenError::Newer { .. })));
    }
}

#[test]
fn a_full_disk_refuses_what_comes_and_what_was_acknowledged_stays() {
    let folder = folder("full");
    let path = folder.0.join("d.sqlite");
    let record = |n: u32| {
        let number = Number::parse(&format!("{n:06}")).unwrap();
        Record::Reservation(Reservation { number, user: User::parse("somebody-with-a-rather-long-name").unwrap(), mac: None })
    };
    let db = open(&path).unwrap();
    // The honest way to SQLITE_FULL without a disk: the bound can be lifted from this connection only, so the writer has two lives.
    let pages: i64 = db.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
    db.pragma_update(None, "max_page_count", pages + 4).unwrap();
    let (writer, thread) = Writer::start(db, |_| true, |_| {}).unwrap();
    let mut acknowledged = Vec::new();
    let refused_at = (0..100_000).find(|n| match writer.submit(vec![record(*n)]).blocking_recv().unwrap() {
        Ok(()) => {
            acknowledged.push(record(*n));
            false
        }
        Err(NotWritten) => true,
    });
    assert!(refused_at.is_some_and(|n| n > 20), "{refused_at:?}");
    assert!(writer.written.is_failing() && !writer.has_room(), "the next is refused before anything is decided");
    writer.stop();
    thread.join().unwrap();
    let db = open(&path).unwrap();
    let on_disk = records(&db);
    assert!(acknowledged.iter().all(|r| on_disk.contains(r)), "{} acknowledged, {} on disk", acknowledged.len(), on_disk.len());
    let (writer, thread) = Writer::start(db, |_| true, |_| {}).unwrap();
    assert!(writer.has_room());
    writer.submit(vec![record(999_999)]).blocking_recv().unwrap().unwrap();
    writer.stop();
    thread.join().unwrap();
}

/// A writer whose thread stands still until the sender is used or dropped.
fn held_up(db: Connection) -> (Writer, std::thread::JoinHandle<()>, std::sync::mpsc::Sender<()>) {
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let (writer, thread) = Writer::start(db, |_| true, |_| {}).unwrap();
    let (tell, stands) = std::sync::mpsc::channel();
    let wait = Box::new(move |_| {
        tell.send(()).unwrap();
        let _goes_on = held.recv();
    });
    writer.submit_all(vec![Work { records: Vec::new(), waiter: Waiter::Call(wait) }]);
    stands.recv().unwrap();
    (writer, thread, go_on)
}

#[tokio::test]
async fn whoever_asks_how_the_store_is_takes_one_place_in_its_queue_a_second_and_none_when_it_is_full() {
    let folder = folder("beat");
    let (writer, thread, go_on) = held_up(open(&folder.0.join("d.sqlite")).unwrap());
    let free = || (0..=crate::limits::STORE_QUEUE).rev().find(|n| writer.has_room_for(*n)).unwrap();
    assert_eq!(free(), crate::limits::STORE_QUEUE);
    let asked = std::array::from_fn::<_, 50, _>(|_| {
        tokio::spawn({
            let writer = writer.clone();
            async move { writer.beat().await }
        })
    });
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Beat::Silent);
    }
    assert_eq!(free(), crate::limits::STORE_QUEUE - 1, "one place for all of them");
    go_on.send(()).unwrap();
    writer.submit(Vec::new()).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(writer.beat().await, Beat::Works, "what was found does not hold for ever");
    writer.stop();
    thread.join().unwrap();
    let (writer, thread, go_on) = held_up(open(&folder.0.join("e.sqlite")).unwrap());
    let number = |n: usize| Number::parse(&format!("{n:06}")).unwrap();
    let mut n = 0;
    while writer.has_room() {
        writer.note(vec![Record::Unreserved(number(n))]);
        n += 1;
    }
    assert_eq!(n, crate::limits::STORE_QUEUE);
    assert_eq!(writer.beat().await, Beat::Full, "and it takes no place");
    // What nobody asked for room for is kept as well, and whoever waits hears of it.
    let record = Record::Reservation(Reservation { number: number(n), user: User::parse("late").unwrap(), mac: None });
    let waits = writer.submit(vec![record.clone()]);
    go_on.send(()).unwrap();
    assert_eq!(waits.await, Ok(Ok(())));
    writer.stop();
    thread.join().unwrap();
    assert!(records(&open(&folder.0.join("e.sqlite")).unwrap()).contains(&record));
}

#[test]
fn what_waits_for_a_writer_that_is_gone_is_told_that_nothing_was_written() {
    let folder = folder("gone");
    let (heard, settled) = std::sync::mpsc::channel();
    let tell = move |(of_sip, on_disk): Settled| heard.send((of_sip.len(), on_disk)).unwrap();
    let (writer, thread) = Writer::start(open(&folder.0.join("d.sqlite")).unwrap(), |_| true, tell).unwrap();
    writer.stop();
    thread.join().unwrap();
    let of_sip = || Work { records: Vec::new(), waiter: Waiter::Sip(crate::sip_door::tests::pending()) };
    writer.submit_all(vec![of_sip(), of_sip()]);
    assert_eq!(settled.try_recv(), Ok((2, false)), "who waits by SIP is answered 503, and its repeats are not taken for answered");
    assert_eq!(writer.submit(Vec::new()).blocking_recv(), Ok(Err(NotWritten)));
}

#[test]
fn what_owners_want_and_other_directories_come_back_as_they_were_written() {
    let folder = folder("settings");
    let path = folder.0.join("d.sqlite");
    let number = |n: &str| Number::parse(n).unwrap();
    let fixed = Fixed { address: "10.0.0.9:5070".parse().unwrap(), transport: Transport::Tcp, fingerprint: Some(Fingerprint([3; 32])) };
    let all = Settings {
        disclosure: Some(Disclosure::Consent),
        ring: Some(Ring::InOrder),
        call_waiting: true,
        do_not_disturb: true,
        presence: true,
        fixed: Some(fixed),
        ..Settings::usual(number("2001"))
    };
    let some = Settings { presence: true, ..Settings::usual(number("2002")) };
    let server = Server {
        number: number("2"),
        terminal_digits: 4,
        sip: "h:5060".into(),
        api: Some("https://h".into()),
        fingerprint: Some(Fingerprint([5; 32])),
        secret: Some("s".into()),
    };
    let bare = Server { number: number("3"), api: None, fingerprint: None, secret: None, ..server.clone() };
    let rows = [Record::Settings(all), Record::Settings(some), Record::Server(server), Record::Server(bare)];
    let revoked = |n, serial| Record::Revoked(Revocation { key: Fingerprint([n; 32]), why: "stolen".into(), at: WallMs(5), serial });
    let good = |n, serial| Record::Unrevoked(Fingerprint([n; 32]), serial);
    {
        let db = open(&path).unwrap();
        rows.iter().for_each(|r| write(&db, r).unwrap());
    }
    let db = open(&path).unwrap();
    assert_eq!(records(&db), rows);
    for gone in [Record::SettingsRemoved(number("2001")), Record::ServerRemoved(number("2"))] {
        write(&db, &gone).unwrap();
    }
    assert_eq!(records(&db), [rows[1].clone(), rows[3].clone()]);
    [revoked(1, 1), revoked(2, 2), revoked(3, 3), good(1, 4), good(2, 5)].iter().for_each(|r| write(&db, r).unwrap());
    // The serial of the last change stays, though its key is good again.
    assert_eq!(records(&db)[2..], [good(2, 5), revoked(3, 3)]);
}

/// A registration whose one contact has this port, which is how the tests tell them apart.
fn at_port(n: u32, port: u16) -> Record {
    let address = std::net::SocketAddr::from(([10, 0, 0, 1], port));
    let binding = Binding {
        uri: format!("sip:{n:04}@{address}").into(),
        address,
        transport: Transport::Udp,
        hidden: false,
        instance: None,
        q: 1000,
        lease_s: 60,
        order: (1, 1),
        facts: None,
    };
    Record::Registration(Box::new(Registration {
        number: Number::parse(&format!("{n:04}")).unwrap(),
        user: User::parse("u").unwrap(),
        picked_for: None,
        keys: Box::default(),
        contacts: Box::new([(binding, WallMs(1))]),
    }))
}

/// What holds of each number, as a directory that starts would find it.
fn held(db: &Connection) -> std::collections::BTreeMap<String, u16> {
    let mut held = std::collections::BTreeMap::new();
    let unreadable = load(db, |record| match record {
        Record::Registration(r) => {
            held.insert(r.number.to_string(), r.contacts[0].0.address.port());
        }
        Record::Forgotten(n) => {
            held.remove(n.as_str());
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(unreadable.unwrap(), 0);
    held
}

#[test]
fn req_c2_the_journal_holds_over_the_table_wherever_its_folding_was_cut_off() {
    let folder = folder("journal");
    for seed in 0..20 {
        let mut rng = crate::clock::Rng::new(seed);
        let path = folder.0.join(format!("{seed}.sqlite"));
        // No power is cut here, and the disk's patience is not the question.
        let reopen = || {
            let db = open(&path).unwrap();
            db.pragma_update(None, "synchronous", "OFF").unwrap();
            db
        };
        let mut db = reopen();
        let mut journal = Journal::open(&db).unwrap();
        let mut should = std::collections::BTreeMap::new();
        for turn in 0..60u16 {
            match rng.below(10) {
                0..6 => {
                    let records: Vec<Record> = (0..rng.below(900))
                        .map(|i| match (rng.below(1500) as u32, rng.chance(0.1)) {
                            (n, true) => {
                                should.remove(&format!("{n:04}"));
                                Record::Forgotten(Number::parse(&format!("{n:04}")).unwrap())
                            }
                            (n, false) => {
                                let port = 1 + turn * 1000 + i as u16;
                                should.insert(format!("{n:04}"), port);
                                at_port(n, port)
                            }
                        })
                        .collect();
                    db.execute_batch("BEGIN IMMEDIATE").unwrap();
                    records.iter().for_each(|r| journal.put(&db, r).unwrap());
                    db.execute_batch("COMMIT").unwrap();
                    journal.committed(records.into_iter());
                }
                6..9 => {
                    if journal.wants_folding(true) {
                        journal.fold(&db).unwrap();
                    }
                }
                _ => {
                    // The process dies; another begins.
                    drop(db);
                    db = reopen();
                    journal = Journal::open(&db).unwrap();
                }
            }
            assert_eq!(held(&db), should, "seed {seed} turn {turn}");
        }
        while journal.wants_folding(true) {
            journal.fold(&db).unwrap();
        }
        assert_eq!(held(&db), should, "seed {seed}");
        let left = |t: &str| db.query_row(&format!("SELECT count(*) FROM {t}"), [], |r| r.get::<_, i64>(0)).unwrap();
        assert_eq!((left("journal_a"), left("journal_b")), (0, 0), "seed {seed}: a fold that is done leaves nothing");
    }
}
