//! Keys by which something is written for one node alone: X25519 key pairs, and a content key wrapped for the bearer of one.
//!
//! ```text
//! share  = e·G                     e is drawn for this wrapping alone
//! secret = HKDF-SHA256(salt = share ‖ recipient, input = e·recipient, info = the purpose)
//! sealed = ChaCha20-Poly1305(secret, nonce 0, content key)
//! ```
//! This is the X25519 recipient of age (<https://age-encryption.org/v1>), with 32 bytes of content key and an `info` of Kho's own.
//! Whoever holds the public half can wrap: it says nothing about who did. A signature does.
//!
//! Invariant: a content key comes out only for the private half that it was wrapped for, and for the same purpose
//! (test `a_content_key_comes_out_for_its_reader_and_purpose_alone`).

use std::fmt;

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom as _, SystemRandom},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::codec::Blob;

/// Bytes of a key, public or private, and of a content key.
pub const KEY_BYTES: usize = 32;
/// What PKCS#8 puts before the 32 bytes of an X25519 private key (RFC 5958, RFC 8410).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20];

/// A key that encrypts the content of one file or comparison, wiped from memory when dropped.
pub type ContentKey = Zeroizing<[u8; KEY_BYTES]>;

/// Why a key could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    #[error("the encryption key could not be read ({0}); make one with `kho pki request`")]
    Key(&'static str),
    #[error("the system's randomness is unavailable")]
    Randomness,
    #[error("the public encryption key {0} is not one of an honest key pair; make the node's keys anew with `kho pki request`")]
    WeakKey(String),
    #[error("it was encrypted for another key, or altered")]
    NotForThisKey,
}

/// A node's public encryption key, as the register pins it. Text form: hexadecimal of the 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncryptionKey([u8; KEY_BYTES]);

/// A content key that one private key alone gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    share: [u8; KEY_BYTES],
    sealed: Blob,
}

/// The private half of an [`EncryptionKey`]; stays on its node, in a file of mode 0600.
pub struct DecryptionKey(StaticSecret);

impl EncryptionKey {
    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads the hexadecimal form of 64 characters.
    ///
    /// # Errors
    /// [`EncryptionError::Key`] when it is anything else.
    pub fn from_hex(hex: &str) -> Result<Self, EncryptionError> {
        let wrong = EncryptionError::Key("it does not have 64 hexadecimal characters");
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| wrong.clone())?;
        bytes.try_into().map(Self).map_err(|_| wrong)
    }

    pub fn to_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// Wraps `content_key` for the bearer of the private half. `purpose` is one fixed text for each use.
    ///
    /// # Errors
    /// [`EncryptionError::Randomness`], or [`EncryptionError::WeakKey`] for a key with which anybody could unwrap.
    pub fn wrap(&self, content_key: &ContentKey, purpose: &'static [u8]) -> Result<WrappedKey, EncryptionError> {
        let ephemeral = random_secret()?;
        let share = PublicKey::from(&ephemeral).to_bytes();
        let secret = wrapping_key(&ephemeral, &PublicKey::from(self.0), &share, &self.0, purpose);
        let secret = secret.ok_or_else(|| EncryptionError::WeakKey(self.to_hex()))?;
        let mut sealed = Zeroizing::new(content_key.to_vec());
        let tag = secret.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut sealed).map_err(|_| EncryptionError::Randomness)?;
        Ok(WrappedKey { share, sealed: Blob([&sealed[..], tag.as_ref()].concat()) })
    }
}

impl DecryptionKey {
    /// Makes a fresh key from the operating system's randomness.
    ///
    /// # Errors
    /// [`EncryptionError::Randomness`].
    pub fn generate() -> Result<Self, EncryptionError> {
        random_secret().map(Self)
    }

    /// Reads the PEM form that [`Self::to_pkcs8_pem`] writes.
    ///
    /// # Errors
    /// [`EncryptionError::Key`].
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, EncryptionError> {
        let body: Zeroizing<String> = Zeroizing::new(pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect());
        let der =
            Zeroizing::new(data_encoding::BASE64.decode(body.as_bytes()).map_err(|_| EncryptionError::Key("it is not a PEM private key"))?);
        let seed = der.strip_prefix(&PKCS8_PREFIX[..]).and_then(|seed| <[u8; KEY_BYTES]>::try_from(seed).ok());
        seed.map(|seed| Self(StaticSecret::from(seed))).ok_or(EncryptionError::Key("it is not an X25519 key"))
    }

    /// The key as PEM (PKCS#8), to be written to a file of mode 0600 on the node that made it, and nowhere else.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        let der = Zeroizing::new([&PKCS8_PREFIX[..], self.0.as_bytes()].concat());
        let body = Zeroizing::new(data_encoding::BASE64.encode(&der));
        Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", &*body))
    }

    pub fn public_key(&self) -> EncryptionKey {
        EncryptionKey(PublicKey::from(&self.0).to_bytes())
    }

    /// Gives back the content key that was wrapped for this key and `purpose`.
    ///
    /// # Errors
    /// [`EncryptionError::NotForThisKey`].
    pub fn unwrap(&self, wrapped: &WrappedKey, purpose: &'static [u8]) -> Result<ContentKey, EncryptionError> {
        let own = self.public_key();
        let secret = wrapping_key(&self.0, &PublicKey::from(wrapped.share), &wrapped.share, &own.0, purpose);
        let secret = secret.ok_or(EncryptionError::NotForThisKey)?;
        let mut bytes = Zeroizing::new(wrapped.sealed.to_vec());
        let opened = secret.open_in_place(nonce(), Aad::empty(), &mut bytes).map_err(|_| EncryptionError::NotForThisKey)?;
        <[u8; KEY_BYTES]>::try_from(&*opened).map(Zeroizing::new).map_err(|_| EncryptionError::NotForThisKey)
    }
}

/// A fresh content key from the operating system's randomness.
///
/// # Errors
/// [`EncryptionError::Randomness`].
pub fn random_content_key() -> Result<ContentKey, EncryptionError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    SystemRandom::new().fill(&mut *key).map_err(|_| EncryptionError::Randomness)?;
    Ok(key)
}

fn random_secret() -> Result<StaticSecret, EncryptionError> {
    random_content_key().map(|bytes| StaticSecret::from(*bytes))
}

/// The key that both ends derive; none when the other's share is a point that gives everybody the same secret.
fn wrapping_key(
    secret: &StaticSecret,
    other: &PublicKey,
    share: &[u8; KEY_BYTES],
    recipient: &[u8; KEY_BYTES],
    purpose: &'static [u8],
) -> Option<LessSafeKey> {
    let shared = secret.diffie_hellman(other);
    if !shared.was_contributory() {
        return None;
    }
    let salt = [share.as_slice(), recipient].concat();
    let extracted = Salt::new(HKDF_SHA256, &salt).extract(shared.as_bytes());
    let info = [purpose];
    let expanded = extracted.expand(&info, &CHACHA20_POLY1305).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(expanded)))
}

/// Every wrapping key seals one content key, so one nonce is enough.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "X25519:{}", self.to_hex())
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptionKey").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

impl Serialize for EncryptionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str(&self.to_hex()) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for EncryptionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Self::from_hex(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
        } else {
            <[u8; KEY_BYTES]>::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_key_comes_out_for_its_reader_and_purpose_alone() {
        let (reader, other) = (DecryptionKey::generate().expect("randomness"), DecryptionKey::generate().expect("randomness"));
        let content_key = random_content_key().expect("randomness");
        let wrapped = reader.public_key().wrap(&content_key, b"a bundle").expect("an honest key");
        assert_eq!(reader.unwrap(&wrapped, b"a bundle"), Ok(content_key.clone()));
        assert_eq!(reader.unwrap(&wrapped, b"a comparison"), Err(EncryptionError::NotForThisKey));
        assert_eq!(other.unwrap(&wrapped, b"a bundle"), Err(EncryptionError::NotForThisKey));
        for place in 0..wrapped.sealed.len() {
            let mut altered = wrapped.clone();
            altered.sealed.0[place] ^= 1;
            assert_eq!(reader.unwrap(&altered, b"a bundle"), Err(EncryptionError::NotForThisKey), "byte {place}");
        }
        let short = WrappedKey { sealed: Blob(wrapped.sealed[..40].to_vec()), ..wrapped.clone() };
        assert_eq!(reader.unwrap(&short, b"a bundle"), Err(EncryptionError::NotForThisKey));
        let again = reader.public_key().wrap(&content_key, b"a bundle").expect("an honest key");
        assert_ne!(again, wrapped, "every wrapping is another");
    }

    #[test]
    fn a_key_with_which_anybody_could_unwrap_is_refused() {
        let content_key = random_content_key().expect("randomness");
        let weak = EncryptionKey::from_bytes([0; KEY_BYTES]);
        assert!(matches!(weak.wrap(&content_key, b"a bundle"), Err(EncryptionError::WeakKey(_))));
        let reader = DecryptionKey::generate().expect("randomness");
        let wrapped = WrappedKey { share: [0; KEY_BYTES], sealed: Blob(vec![0; 48]) };
        assert_eq!(reader.unwrap(&wrapped, b"a bundle"), Err(EncryptionError::NotForThisKey));
    }

    #[test]
    fn a_key_survives_its_pem_form_and_its_public_half_its_text() {
        let key = DecryptionKey::generate().expect("randomness");
        let again = DecryptionKey::from_pkcs8_pem(&key.to_pkcs8_pem()).expect("own form");
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(EncryptionKey::from_hex(&key.public_key().to_hex()), Ok(key.public_key()));
        for pem in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert!(matches!(DecryptionKey::from_pkcs8_pem(pem), Err(EncryptionError::Key(_))), "{pem}");
        }
        assert!(EncryptionKey::from_hex("00").is_err());
    }

    /// As `openssl genpkey -algorithm X25519` and `openssl pkey -pubout` print them.
    #[test]
    fn a_key_file_is_that_of_other_programs() {
        let key = DecryptionKey::from_pkcs8_pem(
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIJj7///NsK1yoyBc/fBXUMiD2v+PQ037BvpRVnsJX+Ze\n-----END PRIVATE KEY-----\n",
        );
        let public = key.expect("a well formed key").public_key().to_hex();
        assert_eq!(public, "635ddc981bc320fbd6c185232584df8a1cade14bd97aea17d17ff3bc3f1e3205");
    }
}
