use super::*;
use crate::shell::identity_key::OwnKey;
use proptest::prelude::*;

fn key() -> OwnKey {
    OwnKey::make("test").expect("a key is made")
}

#[test]
fn a_signature_is_one_keys_over_one_text() {
    let (one, two) = (key(), key());
    let signature = one.sign("a text");
    assert_eq!(verify(one.certificate(), "a text", &signature), Ok(one.fingerprint()));
    assert_eq!(verify(one.certificate(), "another", &signature), Err(Fault::Signature));
    assert_eq!(verify(two.certificate(), "a text", &signature), Err(Fault::Signature));
    assert_eq!(verify(b"no certificate", "a text", &signature), Err(Fault::Certificate));
    assert!(Signer::of(one.private_key(), two.certificate().to_vec()).is_none(), "a key and another's certificate");
}

#[test]
fn a_new_key_is_known_by_the_word_of_each_before_it() {
    let keys: Vec<OwnKey> = (0..4).map(|_| key()).collect();
    let all: Vec<Succession> = keys.windows(2).map(|w| Succession::sign(w[0].signer(), w[1].fingerprint())).collect();
    let f = |i: usize| keys[i].fingerprint();
    for from in 0..4 {
        assert_eq!(leads(f(from), f(3), &all), Ok(()), "{from}");
    }
    assert_eq!(leads(f(3), f(0), &all), Err(Fault::OtherKey), "backwards");
    assert_eq!(leads(f(0), f(3), &all[1..]), Err(Fault::OtherKey), "a link is missing");
    // A stranger's word, in the name of the first key.
    let forged = Succession { certificate: keys[0].certificate().to_vec(), ..Succession::sign(keys[2].signer(), f(3)) };
    assert_eq!(leads(f(0), f(3), &[forged]), Err(Fault::Signature));
    let moved = Succession { new: f(3), ..all[0].clone() };
    assert_eq!(leads(f(0), f(3), &[moved]), Err(Fault::Signature), "a true word about another key");
}

#[test]
fn a_value_cannot_begin_a_line_of_its_own() {
    let text = text::Text::new("t").fact("a", "1\nb: 2").maybe("c", None::<&str>).end();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["tipring t 1", "a: 1\\nb: 2", "c: -"]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..400, flip in any::<u8>()) {
        let _ = verify(&bytes, "", &bytes);
        static MADE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut certificate = MADE.get_or_init(|| key().certificate().to_vec()).clone();
        let n = certificate.len();
        certificate[at % n] ^= flip;
        let _ = verify(&certificate, "", &bytes);
        let _ = verify(&certificate[..at % n], "", &bytes);
    }
}
