//! Signatures with the algorithm as a field, so that a warehouse can follow the law when it changes.

#[doc(hidden)]
pub mod remembered;

use std::fmt;

use ring::{
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// ECDSA P-256 with SHA-256 (ASN.1 form) is the default; Ed25519 is an option.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureAlgorithm {
    #[default]
    EcdsaP256Sha256,
    Ed25519,
}

impl SignatureAlgorithm {
    pub const ALL: [Self; 2] = [Self::EcdsaP256Sha256, Self::Ed25519];

    /// The name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsa_p256_sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// How long its public keys are, in bytes.
    pub fn public_key_bytes(self) -> usize {
        match self {
            Self::EcdsaP256Sha256 => 65,
            Self::Ed25519 => 32,
        }
    }

    /// The algorithm of this [`Self::name`].
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Why a key or a signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the signing key could not be read ({0}); make one with `kho pki request`")]
    Key(String),
    #[error("the signature does not verify under key {0}")]
    Refused(String),
    #[error("the signature names {claimed:?} but the pinned key is {pinned:?}")]
    Algorithm { claimed: SignatureAlgorithm, pinned: SignatureAlgorithm },
}

/// A public key as the register pins it. Text form: hexadecimal of the raw key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey {
    pub algorithm: SignatureAlgorithm,
    #[serde(with = "hex_bytes")]
    pub bytes: Vec<u8>,
}

impl PublicKey {
    /// Hexadecimal of the key's bytes.
    pub fn to_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.bytes)
    }

    /// Checks `signature` over `message`.
    ///
    /// # Errors
    /// [`SignatureError::Algorithm`] or [`SignatureError::Refused`]; both are the signer's fault.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        if signature.algorithm != self.algorithm {
            return Err(SignatureError::Algorithm { claimed: signature.algorithm, pinned: self.algorithm });
        }
        let algorithm: &dyn signature::VerificationAlgorithm = match self.algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
            SignatureAlgorithm::Ed25519 => &signature::ED25519,
        };
        let verify = || UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, &signature.bytes).is_ok();
        if remembered::is_good(self, message, signature, verify) { Ok(()) } else { Err(SignatureError::Refused(self.to_hex())) }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.algorithm, self.to_hex())
    }
}

/// A signature and the algorithm that made it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub algorithm: SignatureAlgorithm,
    #[serde(with = "hex_bytes")]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.algorithm, data_encoding::HEXLOWER.encode(&self.bytes))
    }
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key that signs heads or the register. Its text form is wiped from memory when dropped.
pub struct SigningKey {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
    random: SystemRandom,
}

impl SigningKey {
    /// Makes a fresh key from the operating system's randomness.
    pub fn generate(algorithm: SignatureAlgorithm) -> Result<Self, SignatureError> {
        let random = SystemRandom::new();
        let refused = |_| SignatureError::Key("the system's randomness is unavailable".into());
        let document = match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => {
                EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(refused)?
            }
            SignatureAlgorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random).map_err(refused)?,
        };
        Self::from_pkcs8_der(document.as_ref())
    }

    /// Reads a PKCS#8 document; the document itself names the algorithm.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, SignatureError> {
        let random = SystemRandom::new();
        let pair = match EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, der, &random) {
            Ok(pair) => Pair::Ecdsa(pair),
            Err(_) => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(|e| SignatureError::Key(e.to_string()))?),
        };
        Ok(Self { pair, pkcs8: Zeroizing::new(der.to_vec()), random })
    }

    /// Reads the PEM form that [`Self::to_pkcs8_pem`] writes.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SignatureError> {
        let body: Zeroizing<String> = Zeroizing::new(pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect());
        let der = data_encoding::BASE64.decode(body.as_bytes()).map_err(|e| SignatureError::Key(e.to_string()))?;
        Self::from_pkcs8_der(&Zeroizing::new(der))
    }

    /// The key as PEM, to be written to a file of mode 0600 on the node that made it, and nowhere else.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(data_encoding::BASE64.encode(&self.pkcs8));
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in body.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Zeroizing::new(pem)
    }

    pub fn public_key(&self) -> PublicKey {
        match &self.pair {
            Pair::Ecdsa(pair) => PublicKey { algorithm: SignatureAlgorithm::EcdsaP256Sha256, bytes: pair.public_key().as_ref().to_vec() },
            Pair::Ed25519(pair) => PublicKey { algorithm: SignatureAlgorithm::Ed25519, bytes: pair.public_key().as_ref().to_vec() },
        }
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// Only when the system's randomness fails.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SignatureError> {
        match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&self.random, message)
                .map(|s| Signature { algorithm: SignatureAlgorithm::EcdsaP256Sha256, bytes: s.as_ref().to_vec() })
                .map_err(|_| SignatureError::Key("the system's randomness is unavailable".into())),
            Pair::Ed25519(pair) => Ok(Signature { algorithm: SignatureAlgorithm::Ed25519, bytes: pair.sign(message).as_ref().to_vec() }),
        }
    }
}

/// Bytes as hexadecimal in text formats, as they are in binary ones.
mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Vec<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&data_encoding::HEXLOWER.encode(bytes))
        } else {
            bytes.serialize(serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(serde::de::Error::custom)
        } else {
            Vec::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_under_its_own_key_only_and_over_its_own_message_only() {
        for algorithm in [SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::Ed25519] {
            let key = SigningKey::generate(algorithm).expect("system randomness");
            let other = SigningKey::generate(algorithm).expect("system randomness");
            let signature = key.sign(b"head").expect("system randomness");
            assert_eq!(key.public_key().verify(b"head", &signature), Ok(()));
            assert!(key.public_key().verify(b"heat", &signature).is_err());
            assert!(other.public_key().verify(b"head", &signature).is_err());
        }
    }

    #[test]
    fn a_signature_of_another_algorithm_is_refused() {
        let key = SigningKey::generate(SignatureAlgorithm::Ed25519).expect("system randomness");
        let mut signature = key.sign(b"head").expect("system randomness");
        signature.algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        assert!(matches!(key.public_key().verify(b"head", &signature), Err(SignatureError::Algorithm { .. })));
    }

    #[test]
    fn a_key_survives_its_pem_form() {
        let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let again = SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem()).expect("own form");
        assert_eq!(again.public_key(), key.public_key());
        assert!(SigningKey::from_pkcs8_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").is_err());
    }
}
