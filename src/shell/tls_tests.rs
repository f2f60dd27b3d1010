//! Certificates: made once, kept private, read with every fault named; names as RFC 5922 wants them.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tipring-tls-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(folder: &Folder, names: &[&str]) -> Settings {
    Settings { state: folder.0.clone(), names: names.iter().map(|n| (*n).into()).collect(), ..Settings::default() }
}

fn certificate(params: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut p = CertificateParams::default();
    params(&mut p);
    p.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn our_own_certificate_is_made_once_and_its_key_is_private() {
    let folder = Folder::new("own");
    let settings = settings(&folder, &["lan.test", "127.0.0.1", "::1"]);
    let first = Identity::of(&settings).unwrap();
    assert_eq!(Identity::of(&settings).unwrap().chain, first.chain, "a restart keeps it");
    let mode = std::fs::metadata(folder.0.join(OWN_KEY)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for name in ["lan.test", "LAN.test", "127.0.0.1", "::1"] {
        assert!(certifies(&first.chain[0], name), "{name}");
    }
    for name in ["other.test", "a.lan.test", "127.0.0.2", ""] {
        assert!(!certifies(&first.chain[0], name), "{name}");
    }
    assert!(server_config(&settings).is_ok() && client_config(&settings).is_ok());
}

#[test]
fn a_start_that_was_cut_off_between_key_and_certificate_is_made_good() {
    let folder = Folder::new("cut");
    std::fs::write(folder.0.join(OWN_KEY), "half").unwrap();
    assert!(Identity::of(&settings(&folder, &["lan.test"])).is_ok());
}

#[test]
fn names_are_read_as_rfc_5922_wants_them() {
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let sip = certificate(|p| {
        p.subject_alt_names = vec![uri("sip:a.example"), uri("sip:user@b.example"), uri("https://c.example"), uri("SIP:d.example:5061")]
    });
    let held: Vec<bool> = ["a.example", "b.example", "c.example", "d.example"].iter().map(|n| certifies(&sip, n)).collect();
    assert_eq!(held, [true, false, false, true]);
    let wild = certificate(|p| p.subject_alt_names = vec![SanType::DnsName("*.example".try_into().unwrap())]);
    assert!(!certifies(&wild, "a.example"), "s.7.2: wildcards match nothing");
    let common = certificate(|p| p.distinguished_name.push(DnType::CommonName, "a.example"));
    assert!(!certifies(&common, "a.example"));
    assert!(!certifies(b"no certificate", "a.example"));
}

#[test]
fn every_fault_is_named_with_its_key_and_file() {
    let (folder, other) = (Folder::new("faults"), Folder::new("faults-other"));
    for f in [&folder, &other] {
        Identity::of(&settings(f, &["lan.test"])).unwrap();
    }
    let (good, key, stranger) = (folder.0.join(OWN_CERTIFICATE), folder.0.join(OWN_KEY), other.0.join(OWN_KEY));
    let empty = folder.0.join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let faults = |change: &dyn Fn(&mut Settings)| {
        let mut s = settings(&folder, &[]);
        change(&mut s);
        s.faults()
    };
    assert_eq!(faults(&|s| s.certificate = Some((good.clone(), key.clone()))), []);
    type Change<'a> = &'a dyn Fn(&mut Settings);
    let table: [(&str, &str, Change<'_>); 5] = [
        ("tls_cert", "with its key", &|s| s.certificate = Some((good.clone(), stranger.clone()))),
        ("tls_cert", "no certificate in it", &|s| s.certificate = Some((empty.clone(), key.clone()))),
        ("tls_key", "empty.pem", &|s| s.certificate = Some((good.clone(), empty.clone()))),
        ("tls_ca", "no certificate in it", &|s| s.ca = Some(empty.clone())),
        ("tls_client_ca", "No such file", &|s| s.client_ca = Some(PathBuf::from("/nowhere"))),
    ];
    for (key, words, change) in table {
        let found = faults(change);
        assert!(found.len() == 1 && found[0].0 == key && found[0].1.contains(words), "{key} {words}: {found:?}");
    }
}
