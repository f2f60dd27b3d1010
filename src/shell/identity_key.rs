//! The key of a daemon, in its state folder: made at the first start, replaced by `tipring identity rotate`, never sent anywhere.
//!
//! ```text
//!   identity.key            ECDSA P-256, PKCS#8 in PEM, mode 0600
//!   identity.crt            self-signed certificate; its SHA-256 is who this daemon is
//!   identity.previous.*     the pair before the last rotation
//!   identity.successions    what each earlier key said of the one that follows it
//! ```
//! A directory's files are called `directory.*`. The certificate holds from 1970 to 9999 and names no host: whoever knows its SHA-256 knows the
//! key, and a machine without a clock at boot must not be a stranger until it has one.

use super::state_folder::put;
use crate::key::Fingerprint;
use crate::limits::SUCCESSIONS_MAX;
use crate::proof::{Signer, Succession, base64};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A key pair with its certificate.
pub struct OwnKey {
    signer: Signer,
    private: Vec<u8>,
}

impl OwnKey {
    /// A new one, that stands nowhere yet; `whose` is written into it for people who look.
    pub fn make(whose: &str) -> Result<OwnKey, String> {
        let words = |e: rcgen::Error| e.to_string();
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(words)?;
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(1970, 1, 1);
        // RFC 5280 s.4.1.2.5: no end.
        params.not_after = date_time_ymd(9999, 12, 31);
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, format!("tipring {whose}"));
        let certificate = params.self_signed(&pair).map_err(words)?;
        OwnKey::of(pair.serialize_der(), certificate.der().to_vec()).ok_or_else(|| "the key that was just made cannot be used".into())
    }

    fn of(private: Vec<u8>, certificate: Vec<u8>) -> Option<OwnKey> {
        Some(OwnKey { signer: Signer::of(&private, certificate)?, private })
    }

    fn read(key: &Path, certificate: &Path) -> Result<OwnKey, String> {
        let private = PrivatePkcs8KeyDer::from_pem_file(key).map_err(|e| format!("{}: {e}", key.display()))?;
        let shown = CertificateDer::from_pem_file(certificate).map_err(|e| format!("{}: {e}", certificate.display()))?;
        let found = OwnKey::of(private.secret_pkcs8_der().to_vec(), shown.to_vec());
        found.ok_or_else(|| format!("{} is not the certificate of {}", certificate.display(), key.display()))
    }

    fn write(&self, key: &Path, certificate: &Path) -> Result<(), String> {
        let pem = |label: &str, der: &[u8]| {
            let text = base64::encode(der);
            let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap_or_default()).collect();
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
        };
        let at = |path: &Path, e: io::Error| format!("{}: {e}", path.display());
        put(key, pem("PRIVATE KEY", &self.private).as_bytes(), 0o600).map_err(|e| at(key, e))?;
        put(certificate, pem("CERTIFICATE", self.certificate()).as_bytes(), 0o644).map_err(|e| at(certificate, e))
    }

    /// The SHA-256 of the certificate: who this is.
    pub fn fingerprint(&self) -> Fingerprint {
        self.signer.fingerprint()
    }

    /// The certificate, DER. Handshakes show it.
    pub fn certificate(&self) -> &[u8] {
        self.signer.certificate()
    }

    /// The private key, PKCS#8 in DER. For handshakes; never for a log or a wire.
    pub fn private_key(&self) -> &[u8] {
        &self.private
    }

    /// What signs with it.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The signature of a text.
    pub fn sign(&self, text: &str) -> Vec<u8> {
        self.signer.sign(text)
    }
}

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnKey({})", self.fingerprint())
    }
}

/// The key that is used now, and what those before it said.
#[derive(Debug)]
pub struct Keys {
    /// In use.
    pub current: OwnKey,
    /// The fingerprint of the pair before the last rotation, while its files lie there.
    pub previous: Option<Fingerprint>,
    /// Who followed whom, the oldest first; the last leads to `current`.
    pub successions: Vec<Succession>,
    /// It was made just now: this is the first start.
    pub made: bool,
}

/// Where the files of one daemon's key lie.
#[derive(Clone)]
struct Files {
    folder: PathBuf,
    whose: &'static str,
}

impl Files {
    fn at(&self, end: &str) -> PathBuf {
        self.folder.join(format!("{}.{end}", self.whose))
    }

    fn current(&self) -> (PathBuf, PathBuf) {
        (self.at("key"), self.at("crt"))
    }
    fn next(&self) -> (PathBuf, PathBuf) {
        (self.at("next.key"), self.at("next.crt"))
    }
    fn previous(&self) -> (PathBuf, PathBuf) {
        (self.at("previous.key"), self.at("previous.crt"))
    }

    /// The pair that stands there. A rotation that was cut off between the two files is finished.
    fn read(&self) -> Result<Option<OwnKey>, String> {
        let (key, certificate) = self.current();
        if !key.exists() && !certificate.exists() {
            return Ok(None);
        }
        let (_, next) = self.next();
        if next.exists() && OwnKey::read(&key, &certificate).is_err() && OwnKey::read(&key, &next).is_ok() {
            std::fs::rename(&next, &certificate).map_err(|e| format!("{}: {e}", certificate.display()))?;
        }
        if !certificate.exists() {
            // The first start was cut off before anybody heard of this key.
            return Ok(None);
        }
        OwnKey::read(&key, &certificate).map(Some)
    }

    /// Puts a new pair in place of the old one. Both lie on disk whole before either takes its place.
    fn replace(&self, with: &OwnKey) -> Result<(), String> {
        let ((next_key, next_certificate), (key, certificate)) = (self.next(), self.current());
        with.write(&next_key, &next_certificate)?;
        for (from, to) in [(&next_key, &key), (&next_certificate, &certificate)] {
            std::fs::rename(from, to).map_err(|e| format!("{}: {e}", to.display()))?;
        }
        self.sync()
    }

    fn sync(&self) -> Result<(), String> {
        File::open(&self.folder).and_then(|f| f.sync_all()).map_err(|e| format!("{}: {e}", self.folder.display()))
    }

    /// The statements that lead to `to`. What a rotation that was cut off left behind leads elsewhere and is not among them.
    fn successions(&self, to: Fingerprint) -> Vec<Succession> {
        let text = std::fs::read_to_string(self.at("successions")).unwrap_or_default();
        let row = |line: &str| {
            let mut words = line.split(' ');
            let certificate = base64::decode(words.next()?)?;
            let new = Fingerprint::parse(words.next()?)?;
            Some(Succession { certificate, new, signature: base64::decode(words.next()?)? })
        };
        let mut all: Vec<Succession> = text.lines().filter_map(row).filter(|s| s.verify().is_ok()).collect();
        let end = all.iter().rposition(|s| s.new == to).map_or(0, |i| i + 1);
        all.truncate(end);
        all
    }

    fn put_successions(&self, all: &[Succession]) -> Result<(), String> {
        let hex = |f: &Fingerprint| f.0.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let row = |s: &Succession| format!("{} {} {}\n", base64::encode(&s.certificate), hex(&s.new), base64::encode(&s.signature));
        let path = self.at("successions");
        put(&path, all.iter().map(row).collect::<String>().as_bytes(), 0o644).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// The key of a running daemon, shared by whoever signs with it.
pub struct Keyring {
    files: Files,
    keys: Mutex<Arc<Keys>>,
}

/// The name of a gateway's files.
pub const GATEWAY: &str = "identity";
/// The name of a directory's.
pub const DIRECTORY: &str = "directory";

impl Keyring {
    /// Reads the pair of this state folder, or makes the first one.
    pub fn open(folder: &Path, whose: &'static str) -> Result<Keyring, String> {
        let files = Files { folder: folder.to_owned(), whose };
        let (current, made) = match files.read()? {
            Some(current) => (current, false),
            None => {
                let current = OwnKey::make(whose)?;
                files.replace(&current)?;
                (current, true)
            }
        };
        Ok(Keyring::of(files, current, made))
    }

    /// The pair of a folder that has one; nothing is made.
    pub fn read(folder: &Path, whose: &'static str) -> Result<Option<Keyring>, String> {
        let files = Files { folder: folder.to_owned(), whose };
        Ok(files.read()?.map(|current| Keyring::of(files, current, false)))
    }

    fn of(files: Files, current: OwnKey, made: bool) -> Keyring {
        let successions = files.successions(current.fingerprint());
        let (key, certificate) = files.previous();
        let previous = OwnKey::read(&key, &certificate).ok().map(|p| p.fingerprint());
        Keyring { files, keys: Mutex::new(Arc::new(Keys { current, previous, successions, made })) }
    }

    /// The key in use.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.lock().expect("no thread panics while it holds the keys").clone()
    }

    /// Where the certificate lies.
    pub fn certificate_path(&self) -> PathBuf {
        self.files.current().1
    }

    /// A new pair in place of the one in use, which says so with its last signature. Whoever holds [`Keyring::keys`] of before finishes with it.
    pub fn rotate(&self) -> Result<Arc<Keys>, String> {
        let mut keys = self.keys.lock().expect("no thread panics while it holds the keys");
        let current = OwnKey::make(self.files.whose)?;
        let mut successions = keys.successions.clone();
        successions.push(Succession::sign(keys.current.signer(), current.fingerprint()));
        let too_many = successions.len().saturating_sub(SUCCESSIONS_MAX);
        successions.drain(..too_many);
        let (key, certificate) = self.files.previous();
        keys.current.write(&key, &certificate)?;
        self.files.put_successions(&successions)?;
        self.files.replace(&current)?;
        *keys = Arc::new(Keys { previous: Some(keys.current.fingerprint()), current, successions, made: false });
        Ok(keys.clone())
    }
}

/// A daemon's key as `tipring identity` shows it.
pub fn shown(keyring: &Keyring) -> serde_json::Value {
    let keys = keyring.keys();
    let text = |f: Fingerprint| f.to_string();
    serde_json::json!({
        "identity": text(keys.current.fingerprint()),
        "kind": "ECDSA P-256",
        "certificate": keyring.certificate_path().display().to_string(),
        "previous": keys.previous.map(text),
        "follows": keys.successions.iter().map(|s| text(s.old())).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::leads;
    use std::os::unix::fs::MetadataExt as _;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tipring-key-{name}-{}", std::process::id()));
        let _none_left_over = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn req_a1_a_key_is_made_once_kept_private_and_holds_whatever_the_clock_says() {
        let folder = folder("made");
        let first = Keyring::open(&folder, GATEWAY).unwrap();
        assert!(first.keys().made);
        let mode = |name: &str| std::fs::metadata(folder.join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("identity.key"), mode("identity.crt")), (0o600, 0o644));
        let again = Keyring::open(&folder, GATEWAY).unwrap();
        assert!(!again.keys().made);
        assert_eq!(again.keys().current.fingerprint(), first.keys().current.fingerprint());
        // Another reader of certificates says the same of it.
        let read = openssl::x509::X509::from_der(first.keys().current.certificate()).unwrap();
        let (from, to) = (read.not_before().to_string(), read.not_after().to_string());
        assert!(from.contains("1970") && to.contains("9999"), "{from} {to}");
        assert!(read.subject_alt_names().is_none(), "no host is named");
        assert!(read.verify(&read.public_key().unwrap()).unwrap(), "signed by itself");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn req_a1_a_rotation_keeps_the_old_pair_and_its_word_and_survives_being_cut_off_anywhere() {
        let folder = folder("rotated");
        let ring = Keyring::open(&folder, GATEWAY).unwrap();
        let first = ring.keys();
        let second = ring.rotate().unwrap();
        assert_eq!(second.previous, Some(first.current.fingerprint()));
        assert!(folder.join("identity.previous.key").exists());
        for _ in 0..2 {
            ring.rotate().unwrap();
        }
        let read = Keyring::open(&folder, GATEWAY).unwrap().keys();
        assert_eq!(leads(first.current.fingerprint(), read.current.fingerprint(), &read.successions), Ok(()));
        assert_eq!(leads(second.current.fingerprint(), read.current.fingerprint(), &read.successions), Ok(()));
        // Cut off after the new statement: the key in use is the old one, and the statement is not told.
        let files = Files { folder: folder.clone(), whose: GATEWAY };
        let next = OwnKey::make(GATEWAY).unwrap();
        let mut statements = read.successions.clone();
        statements.push(Succession::sign(read.current.signer(), next.fingerprint()));
        files.put_successions(&statements).unwrap();
        let after = Keyring::open(&folder, GATEWAY).unwrap().keys();
        assert_eq!((after.current.fingerprint(), after.successions.len()), (read.current.fingerprint(), 3));
        // Cut off between the two files: it is finished.
        let (next_key, next_certificate) = files.next();
        next.write(&next_key, &next_certificate).unwrap();
        std::fs::rename(&next_key, files.current().0).unwrap();
        let after = Keyring::open(&folder, GATEWAY).unwrap().keys();
        assert_eq!((after.current.fingerprint(), after.successions.len()), (next.fingerprint(), 4));
        for _ in 0..2 * SUCCESSIONS_MAX {
            ring.rotate().unwrap();
        }
        assert_eq!(ring.keys().successions.len(), SUCCESSIONS_MAX);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_damaged_key_is_an_error_and_not_a_new_identity() {
        let folder = folder("damaged");
        Keyring::open(&folder, GATEWAY).unwrap();
        std::fs::write(folder.join("identity.key"), "nonsense").unwrap();
        let Err(words) = Keyring::open(&folder, GATEWAY) else { panic!("a damaged key is used") };
        assert!(words.contains("identity.key"), "{words}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
