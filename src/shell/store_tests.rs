use super::*;
use crate::directory::{Binding, Person, Role};

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
    assert_eq!((registration.transport, registration.bindings.len()), (Transport::Udp, 0));
    // The password set anew brings the hash that was missing.
    let anew = Account { ha1: Ha1::of("2001", "lan.test", "pw"), ..account.clone() };
    write(&db, &Record::Account(anew.clone())).unwrap();
    assert!(records(&db).contains(&Record::Account(anew)));
}

#[test]
fn contacts_come_back_as_they_were_written() {
    let folder = folder("contacts");
    let path = folder.0.join("d.sqlite");
    let contact = |uri: &str, instance: Option<&str>, transport| Binding {
        uri: uri.into(),
        address: "[2001:db8::7]:5062".parse().unwrap(),
        transport,
        hidden: true,
        instance: instance.map(|i| Instance::parse(i).unwrap()),
        q: 700,
        expires: WallMs(7_000_000),
        lease_s: 3600,
        order: (u64::MAX, 4_000_000),
    };
    let row = Registration {
        number: Number::parse("2001").unwrap(),
        user: User::parse("2001").unwrap(),
        instance: Instance::parse("sip").unwrap(),
        contact: Some("[2001:db8::7]:5062".parse().unwrap()),
        transport: Transport::Tls,
        bindings: Box::new([
            contact("sip:2001@10.0.0.7;x=\"\\'", Some("urn:uuid:1"), Transport::Tls),
            contact("sip:a%00b@h.invalid;transport=ws", None, Transport::Tcp),
        ]),
        fingerprint: None,
        capabilities: Capabilities::default(),
        private: None,
        mac: None,
        lease_s: 3600,
        expires: WallMs(7_000_000),
        dynamic: true,
    };
    let db = open(&path).unwrap();
    write(&db, &Record::Registration(row.clone())).unwrap();
    drop(db);
    assert_eq!(records(&open(&path).unwrap()), [Record::Registration(row)]);
    let db = open(&path).unwrap();
    db.execute_batch("UPDATE registrations SET bindings = '[{\"uri\":1}]'").unwrap();
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
    db.execute_batch(
        "INSERT INTO reservations VALUES ('2002','2001','02:00:00:00:00:01');
         INSERT INTO registrations (number, user, instance, contact, voice, fax, srtp, lease_s, expires_ms, dynamic)
         VALUES ('2001','2001','gw','10.0.0.1:5060',1,1,0,3600,9000000,0);",
    )
    .unwrap();
    if steps >= 2 {
        let hash = ha1.sha512_256.unwrap();
        db.execute("UPDATE accounts SET ha1_sha512_256 = ?1", params![hash]).unwrap();
    }
    if steps >= 3 {
        db.execute_batch("UPDATE registrations SET transport = 'TCP'").unwrap();
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
        let lives =
            |r: &Record| matches!(r, Record::Registration(r) if r.contact.is_some() && r.capabilities.fax && r.expires.0 == 9_000_000);
        assert_eq!(all.iter().filter(|r| lives(r)).count(), 1, "{steps}: {all:?}");
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
    let (writer, thread) = Writer::start(db, |_| true).unwrap();
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
    let (writer, thread) = Writer::start(db, |_| true).unwrap();
    assert!(writer.has_room());
    writer.submit(vec![record(999_999)]).blocking_recv().unwrap().unwrap();
    writer.stop();
    thread.join().unwrap();
}
