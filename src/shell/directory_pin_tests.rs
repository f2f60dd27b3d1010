use super::*;
use crate::api::keys::SignedJson;
use crate::api::numbers::IdentifierAnswer;
use crate::proof::Succession;
use crate::shell::identity_key::OwnKey;

const NONCE: &str = "00112233445566778899aabbccddeeff";

fn key() -> OwnKey {
    OwnKey::make("test").expect("a key is made")
}

fn answer(by: &OwnKey, nonce: &str, after: &[&OwnKey]) -> IdentifierAnswer {
    let mut answer = IdentifierAnswer { identifier: "sha-256 AA".into(), contacts: Vec::new(), signed: None };
    let text = answer.text(&Seal { key: by.fingerprint(), nonce, revocations: 3 });
    answer.signed = Some(SignedJson {
        nonce: nonce.into(),
        revocations: 3,
        certificate: base64::encode(by.certificate()),
        signature: base64::encode(&by.sign(&text)),
        previous: after.iter().map(|old| (&Succession::sign(old.signer(), by.fingerprint())).into()).collect(),
    });
    answer
}

struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tipring-pin-{name}-{}", std::process::id()));
        let _none_left_over = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
    fn pins(&self, named: Option<&OwnKey>) -> Pins {
        Pins::open(&self.0, named.map(OwnKey::fingerprint)).unwrap()
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn req_a3_the_first_key_is_pinned_and_another_only_follows_by_its_word() {
    let folder = Folder::new("first");
    let (first, second, stranger) = (key(), key(), key());
    let judge = |answer: &IdentifierAnswer| folder.pins(None).judge("d", true, NONCE, answer);
    let unsigned = IdentifierAnswer { signed: None, ..answer(&first, NONCE, &[]) };
    assert_eq!(judge(&unsigned), Ok(Word::Unsigned), "an old directory");
    assert_eq!(judge(&answer(&first, NONCE, &[])), Ok(Word::Signed(3)));
    assert!(judge(&unsigned).is_err(), "no way back");
    let words = judge(&answer(&stranger, NONCE, &[])).unwrap_err();
    assert!(words.contains(&first.fingerprint().to_string()) && words.contains(&stranger.fingerprint().to_string()), "{words}");
    assert!(judge(&answer(&stranger, NONCE, &[&second])).is_err(), "the word of a key that is not known");
    assert_eq!(judge(&answer(&second, NONCE, &[&first])), Ok(Word::Signed(3)));
    assert!(judge(&answer(&first, NONCE, &[])).is_err(), "the old one is followed for good");
    folder.pins(None).forget().unwrap();
    assert_eq!(judge(&answer(&stranger, NONCE, &[])), Ok(Word::Signed(3)), "after the operator forgot");
}

#[test]
fn req_a3_what_was_said_to_another_question_or_changed_on_the_way_is_not_believed() {
    let folder = Folder::new("changed");
    let first = key();
    let pins = folder.pins(None);
    let good = answer(&first, NONCE, &[]);
    assert!(pins.judge("d", true, "another", &good).is_err(), "a replay");
    let changed = IdentifierAnswer { identifier: "sha-256 BB".into(), ..good.clone() };
    assert!(pins.judge("d", true, NONCE, &changed).is_err());
    let mut serial = good.clone();
    serial.signed.as_mut().unwrap().revocations = 2;
    assert!(pins.judge("d", true, NONCE, &serial).is_err());
    assert!(pins.all().is_empty(), "nothing false is pinned");
    assert_eq!(pins.judge("d", true, NONCE, &good), Ok(Word::Signed(3)));
}

#[test]
fn req_a3_a_key_of_the_configuration_holds_from_the_first_answer_on() {
    let folder = Folder::new("named");
    let (named, next, stranger) = (key(), key(), key());
    let judge = |by: &OwnKey, after: &[&OwnKey]| folder.pins(Some(&named)).judge("d", true, NONCE, &answer(by, NONCE, after));
    assert!(judge(&stranger, &[]).is_err());
    assert!(folder.pins(Some(&named)).judge("d", true, NONCE, &IdentifierAnswer { signed: None, ..answer(&named, NONCE, &[]) }).is_err());
    assert_eq!(judge(&named, &[]), Ok(Word::Signed(3)));
    assert_eq!(judge(&next, &[&named]), Ok(Word::Signed(3)));
    assert_eq!(judge(&next, &[]), Ok(Word::Signed(3)), "it is remembered that this one follows");
    // Another directory is not bound by it; and the operator's next word is.
    assert_eq!(folder.pins(Some(&named)).judge("e", false, NONCE, &answer(&stranger, NONCE, &[])), Ok(Word::Signed(3)));
    assert!(folder.pins(Some(&stranger)).judge("d", true, NONCE, &answer(&next, NONCE, &[])).is_err());
}
