use super::*;
use crate::directory::Binding;

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
