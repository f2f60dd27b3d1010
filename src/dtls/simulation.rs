//! Handshakes whose every octet follows from a seed, for virtual time: two runs of a seed must be the same on the wire.
//!
//! The key exchange is X25519 with private keys drawn from the seed. The signature must not draw at all, which ECDSA of the libraries does;
//! here it is Ed25519 under the name of ECDSA, between certificates of [`Certificate::for_simulation`] only: whoever does not hold the key of
//! a certificate cannot prove it, as outside. Nothing of this may be used on a network, and nothing in the shell's daemon makes it.

use super::association::Params;
use super::certificate::Certificate;
use super::dimpl_engine::{Running, configuration, with_key_log};
use super::engine::{Engine, Handshake};
use crate::clock::{Instant, Rng};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair};
use core::cell::RefCell;
use dimpl::crypto::{
    ActiveKeyExchange, Buf, CryptoProvider, HashAlgorithm, KeyProvider, NamedGroup, SignatureAlgorithm, SignatureVerifier, SigningKey,
    SupportedKxGroup,
};
use dimpl::{CryptoError, CryptoOperation};

/// An engine for one association of a simulation: chance is its seed.
#[derive(Clone, Copy, Debug)]
pub struct SeededForSimulation(pub u64);

impl Engine for SeededForSimulation {
    fn begin(&self, now: Instant, params: &Params) -> Result<Box<dyn Handshake>, String> {
        let provider = CryptoProvider {
            kx_groups: &[&SeededX25519],
            signature_verification: &SimulatedVerifier,
            key_provider: &SimulatedKeys,
            ..with_key_log(dimpl::crypto::aws_lc_rs::default_provider())
        };
        let mut rng = Rng::new(self.0);
        // dimpl tries its provider before it takes it; that draws, too.
        let mut trial = Some(rng.fork());
        let config = with_chance(&mut trial, || configuration(params.mtu, Some((rng.next_u64(), provider))));
        Ok(Box::new(Running::new(now, params, config, Some(rng))))
    }
}

thread_local! {
    /// The generator of the handshake that is being driven on this thread.
    static CHANCE: RefCell<Option<Rng>> = const { RefCell::new(None) };
}

/// Runs `step` with `rng`, if there is one, as the source of key exchanges.
pub(super) fn with_chance<R>(rng: &mut Option<Rng>, step: impl FnOnce() -> R) -> R {
    if rng.is_none() {
        return step();
    }
    CHANCE.set(rng.take());
    let result = step();
    *rng = CHANCE.take();
    result
}

#[derive(Debug)]
struct SeededX25519;

struct Exchange {
    private: PrivateKey,
    public: Buf,
}

impl core::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Exchange")
    }
}

impl SupportedKxGroup for SeededX25519 {
    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
    fn start_exchange(&self, mut buf: Buf) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let failed = CryptoError::OperationFailed(CryptoOperation::GenerateEphemeralKey);
        let key = CHANCE.with_borrow_mut(|rng| rng.as_mut().map(draw)).ok_or(failed.clone())?;
        let private = PrivateKey::from_private_key(&X25519, &key).map_err(|_| failed.clone())?;
        let public = private.compute_public_key().map_err(|_| failed)?;
        buf.clear();
        buf.extend_from_slice(public.as_ref());
        Ok(Box::new(Exchange { private, public: buf }))
    }
}

impl ActiveKeyExchange for Exchange {
    fn pub_key(&self) -> &[u8] {
        &self.public
    }
    fn complete(self: Box<Self>, peer_pub: &[u8], out: &mut Buf) -> Result<(), CryptoError> {
        let invalid = CryptoError::InvalidPublicKey(NamedGroup::X25519);
        agreement::agree(&self.private, UnparsedPublicKey::new(&X25519, peer_pub), invalid, |secret| {
            out.clear();
            out.extend_from_slice(secret);
            Ok(())
        })
    }
    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

fn draw(rng: &mut Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.chunks_exact_mut(8).for_each(|c| c.copy_from_slice(&rng.next_u64().to_le_bytes()));
    bytes
}

#[derive(Debug)]
struct SimulatedKeys;

struct SimulatedKey(Ed25519KeyPair);

impl core::fmt::Debug for SimulatedKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SimulatedKey")
    }
}

impl KeyProvider for SimulatedKeys {
    fn load_private_key(&self, key_der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(key_der).map_err(|_| CryptoError::InvalidPrivateKey)?;
        Ok(Box::new(SimulatedKey(pair)))
    }
}

impl SigningKey for SimulatedKey {
    fn sign(&mut self, data: &[u8], _: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        out.clear();
        out.extend_from_slice(self.0.sign(data).as_ref());
        Ok(())
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }
    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

/// Where the 64 octets of a simulated public key begin in the certificate of [`Certificate::for_simulation`].
const MARK: &[u8] = b"simulated";

#[derive(Debug)]
struct SimulatedVerifier;

impl SignatureVerifier for SimulatedVerifier {
    fn verify_signature(
        &self,
        cert_der: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let Some(public) = simulated_public_key(cert_der) else {
            // dimpl's own trial of its provider shows a real certificate.
            let theirs = dimpl::crypto::aws_lc_rs::default_provider().signature_verification;
            return theirs.verify_signature(cert_der, data, signature, hash, algorithm);
        };
        aws_lc_rs::signature::UnparsedPublicKey::new(&ED25519, public)
            .verify(data, signature)
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::VerifySignature))
    }
}

fn simulated_public_key(der: &[u8]) -> Option<&[u8]> {
    // The point begins with 4 (uncompressed); behind it the Ed25519 key, and the mark where its other half would be.
    let mark = [MARK, &[0; 32 - MARK.len()]].concat();
    let at = der.windows(32).position(|w| w == mark)?;
    der.get(at.checked_sub(32)?..at)
}

impl Certificate {
    /// The certificate of one gateway of a simulation; the same for the same seed.
    pub fn for_simulation(seed: u64) -> Certificate {
        let key = draw(&mut Rng::new(seed ^ 0x6b65_7973));
        let pair = Ed25519KeyPair::from_seed_unchecked(&key).expect("any 32 octets are a seed");
        let point = [&[4], pair.public_key().as_ref(), MARK, &[0; 32 - MARK.len()]].concat();
        let der = self_signed(seed, &point, |text| pair.sign(text).as_ref().to_vec());
        Certificate::new(der, key.to_vec())
    }
}

/// The shortest X.509 certificate with a point of P-256, and a signature over it.
pub(super) fn self_signed(serial: u64, point: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let element = |tag: u8, parts: &[&[u8]]| {
        let body = parts.concat();
        let mut out = vec![tag];
        match body.len() {
            n @ 0..128 => out.push(n as u8),
            n @ 128..256 => out.extend([0x81, n as u8]),
            n => out.extend([0x82, (n >> 8) as u8, n as u8]),
        }
        out.extend(body);
        out
    };
    let sequence = |parts: &[&[u8]]| element(0x30, parts);
    let p256 = sequence(&[&[6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1], &[6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7]]);
    let ecdsa_sha256 = sequence(&[&[6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2]]);
    let (from, to) = (element(0x17, &[b"700101000000Z"]), element(0x18, &[b"99991231235959Z"]));
    // The name is one that any reader takes: a CN.
    let name = sequence(&[&element(0x31, &[&sequence(&[&[6, 3, 0x55, 4, 3], &element(0x0C, &[b"tipring"])])])]);
    let to_be_signed = sequence(&[
        &element(0xA0, &[&[2, 1, 2]]),
        &element(2, &[&[1], &serial.to_be_bytes()]),
        &ecdsa_sha256,
        &name,
        &sequence(&[&from, &to]),
        &name,
        &sequence(&[&p256, &element(3, &[&[0], point])]),
    ]);
    let signature = element(3, &[&[0], &sign(&to_be_signed)]);
    sequence(&[&to_be_signed, &ecdsa_sha256, &signature])
}
