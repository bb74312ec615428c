//! A register as it is signed, kept and passed on: its readable text, byte by byte, and signatures over these bytes.
//!
//! ```toml
//! tree = "vn"
//! version = 7
//! requires = ["roots"]
//! # … sites, origins, as `kho register new` explains them …
//! # kho register signatures, over every byte above this line:
//! # ecdsa_p256_sha256 04ab… 3045…
//! ```
//! As a file the signatures stand below the text as comments, so that the whole is still TOML.
//!
//! Invariant: nobody writes the text anew, so that what this build does not know reaches every site
//! (test `fields_that_this_build_does_not_know_are_ignored_and_kept`).

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{REGISTER_BYTES_MAX, Register, Roots, VerifiedRegister};
use crate::{
    ids::Hash32,
    level::Level,
    signature::{PublicKey, Signature, SignatureAlgorithm, SignatureError, SigningKey},
};

/// What a register may ask for under `requires`, as far as this build understands it, with the level from which it exists. A site that
/// works below that level refuses the register, so that nodes of several builds decide alike. The last one is for tests alone.
pub const FEATURES: &[(&str, Level)] =
    &[("revoked_identities", Level::FOUNDING), ("roots", Level::FOUNDING), ("test_feature", Level::TEST)];

/// Signatures below a register at most.
pub const SIGNATURES_MAX: usize = 32;

const SIGNATURES_LINE: &str = "# kho register signatures, over every byte above this line:\n";

/// A register's text and signatures over its exact bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRegister {
    /// TOML that ends with a line break; at most [`REGISTER_BYTES_MAX`] bytes.
    pub text: String,
    /// At most [`SIGNATURES_MAX`].
    pub signatures: Vec<RootSignature>,
}

/// A signature over a register's text, and the key that is said to have made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootSignature {
    pub key: PublicKey,
    pub signature: Signature,
}

/// Why a register was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    #[error("the register can't be signed: {0}")]
    Signature(#[from] SignatureError),
    #[error(
        "the register lacks {missing} good signature(s) by the keys that are trusted here ({trusted}). Have their holders sign it with `kho register sign`; where the keys were changed, give the registers that changed them first, the oldest first, with `kho register apply`"
    )]
    Untrusted { missing: usize, trusted: String },
    #[error("the register can't be read: {0}")]
    Malformed(String),
    #[error("the register is not whole: {0}; correct it and issue it again with `kho register issue`")]
    NotWhole(String),
    #[error("the register is of tree `{given}`, this node is of `{wanted}`")]
    OtherTree { given: String, wanted: String },
    #[error(
        "the register requires {features}, which this version of Kho does not know: upgrade this node, then give it the register again"
    )]
    Requires { features: String },
    #[error(
        "what the register requires exists from level {needed} on and the site works at level {level}: see `kho upgrade status`, raise the level with `kho upgrade raise`, then give the site the register again"
    )]
    AboveLevel { needed: Level, level: Level },
    #[error(
        "another register of version {version} stands: it has the hash {held}, this one {given}. Two were signed under one version: find out by whom, then raise `version` and issue it again"
    )]
    Doubled { version: u64, held: Hash32, given: Hash32 },
}

fn signed_bytes(text: &str) -> Vec<u8> {
    [b"kho register 2\0".as_slice(), text.as_bytes()].concat()
}

impl SignedRegister {
    /// Writes `register` as a text and signs it.
    ///
    /// # Errors
    /// [`RegisterError`] names the first thing that is wrong.
    pub fn issue(register: &Register, key: &SigningKey) -> Result<Self, RegisterError> {
        let text = toml::to_string(register).map_err(|e| RegisterError::Malformed(e.to_string()))?;
        Self::sign(text, &[key])
    }

    /// Checks that `text` is a whole register and signs it as it stands. A line break is added at its end if there is none.
    ///
    /// # Errors
    /// [`RegisterError`] names the first thing that is wrong.
    pub fn sign(mut text: String, keys: &[&SigningKey]) -> Result<Self, RegisterError> {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        read(&text)?.check()?;
        let mut signed = Self { text, signatures: vec![] };
        keys.iter().try_for_each(|key| signed.add_signature(key))?;
        Ok(signed)
    }

    /// Adds a signature over the text; an earlier one by the same key is replaced.
    ///
    /// # Errors
    /// When there are too many already, or the system's randomness fails.
    pub fn add_signature(&mut self, key: &SigningKey) -> Result<(), RegisterError> {
        let made = RootSignature { key: key.public_key(), signature: key.sign(&signed_bytes(&self.text))? };
        self.signatures.retain(|earlier| earlier.key != made.key);
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(RegisterError::Malformed(format!("it has {SIGNATURES_MAX} signatures already, more are not read")));
        }
        self.signatures.push(made);
        Ok(())
    }

    /// Checks signature, tree and wholeness, under one key that signs alone.
    ///
    /// # Errors
    /// As [`Self::verify_under`].
    pub fn verify(&self, pinned: &PublicKey, tree: &str) -> Result<VerifiedRegister, RegisterError> {
        self.verify_under(&Roots::of(pinned), tree)
    }

    /// Checks signatures, tree and wholeness.
    ///
    /// # Errors
    /// [`RegisterError`]; whoever sent the register is at fault.
    pub fn verify_under(&self, roots: &Roots, tree: &str) -> Result<VerifiedRegister, RegisterError> {
        self.check_size()?;
        let missing = roots.missing(&self.good_keys_of(roots));
        if missing > 0 {
            let trusted: Vec<String> = roots.keys().map(|key| key.to_hex().chars().take(16).chain(['…']).collect()).collect();
            return Err(RegisterError::Untrusted { missing, trusted: trusted.join(", ") });
        }
        self.whole(tree)
    }

    /// The keys of `roots` whose signatures below the text are good.
    pub fn good_keys_of(&self, roots: &Roots) -> BTreeSet<&PublicKey> {
        let message = signed_bytes(&self.text);
        let of_roots = self.signatures.iter().filter(|made| roots.names(&made.key));
        of_roots.filter(|made| made.key.verify(&message, &made.signature).is_ok()).map(|made| &made.key).collect()
    }

    /// The version that a quick look at the text finds; nothing is verified, and `None` says nothing.
    pub(crate) fn claimed_version(&self) -> Option<u64> {
        let before_tables = self.text.lines().take_while(|line| !line.trim_start().starts_with('['));
        let mut fields = before_tables.filter_map(|line| line.split_once('='));
        let (_, value) = fields.find(|(name, _)| name.trim() == "version")?;
        value.split('#').next()?.trim().parse().ok()
    }

    /// The register inside, when it is whole and of `tree`; its signatures are not checked.
    fn whole(&self, tree: &str) -> Result<VerifiedRegister, RegisterError> {
        let register = read(&self.text)?;
        if register.tree != tree {
            return Err(RegisterError::OtherTree { given: register.tree, wanted: tree.into() });
        }
        register.check()?;
        Ok(VerifiedRegister::new(register, self.hash()))
    }

    /// The register inside, its signatures not checked: for showing only.
    ///
    /// # Errors
    /// When it can't be read, or requires what this build does not know.
    pub fn unverified(&self) -> Result<Register, RegisterError> {
        self.check_size()?;
        read(&self.text)
    }

    /// The keys whose signatures below the text are good. Who they are is not judged.
    pub fn good_keys(&self) -> impl Iterator<Item = &PublicKey> {
        let message = signed_bytes(&self.text);
        self.signatures.iter().filter(move |made| made.key.verify(&message, &made.signature).is_ok()).map(|made| &made.key)
    }

    /// The hash of the text. It names a register among those of the same version.
    pub fn hash(&self) -> Hash32 {
        Hash32::of(self.text.as_bytes())
    }

    fn check_size(&self) -> Result<(), RegisterError> {
        let (bytes, signatures) = (self.text.len(), self.signatures.len());
        if bytes > REGISTER_BYTES_MAX {
            return Err(RegisterError::Malformed(format!("{bytes} bytes, at most {REGISTER_BYTES_MAX} are read")));
        }
        if signatures > SIGNATURES_MAX {
            return Err(RegisterError::Malformed(format!("{signatures} signatures, at most {SIGNATURES_MAX} are read")));
        }
        Ok(())
    }

    /// The text with its signatures below it, for a file.
    pub fn to_file(&self) -> String {
        let mut file = format!("{}{SIGNATURES_LINE}", self.text);
        for RootSignature { key, signature } in &self.signatures {
            let bytes = data_encoding::HEXLOWER.encode(&signature.bytes);
            file.push_str(&format!("# {} {} {bytes}\n", key.algorithm.name(), key.to_hex()));
        }
        file
    }

    /// Whether a file has signatures below its text, as [`Self::to_file`] writes them.
    pub fn is_in(file: &str) -> bool {
        file.contains(SIGNATURES_LINE)
    }

    /// Reads what [`Self::to_file`] wrote. Nothing is verified.
    ///
    /// # Errors
    /// [`RegisterError::Malformed`] when there are no signatures below the text, or one of them can't be read.
    pub fn from_file(file: &str) -> Result<Self, RegisterError> {
        let unsigned = || RegisterError::Malformed("there are no signatures below the text; sign it with `kho register issue`".into());
        let at = file.rfind(SIGNATURES_LINE).filter(|at| *at == 0 || file[..*at].ends_with('\n')).ok_or_else(unsigned)?;
        let signatures = file[at + SIGNATURES_LINE.len()..].lines().filter(|line| !line.trim().is_empty());
        let signatures = signatures.map(signature_line).collect::<Option<Vec<_>>>();
        let signatures = signatures.ok_or_else(|| RegisterError::Malformed("a line of its signatures can't be read".into()))?;
        Ok(Self { text: file[..at].into(), signatures })
    }
}

impl fmt::Debug for SignedRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedRegister({} bytes, {} signatures)", self.text.len(), self.signatures.len())
    }
}

fn signature_line(line: &str) -> Option<RootSignature> {
    let mut words = line.strip_prefix("# ")?.split_ascii_whitespace();
    let algorithm = SignatureAlgorithm::named(words.next()?)?;
    let mut bytes = || data_encoding::HEXLOWER_PERMISSIVE.decode(words.next()?.as_bytes()).ok();
    let (key, signature) = (bytes()?, bytes()?);
    let made = RootSignature { key: PublicKey { algorithm, bytes: key }, signature: Signature { algorithm, bytes: signature } };
    words.next().is_none().then_some(made)
}

/// Reads a register's text.
fn read(text: &str) -> Result<Register, RegisterError> {
    if text.len() > REGISTER_BYTES_MAX {
        return Err(RegisterError::Malformed(format!("{} bytes, at most {REGISTER_BYTES_MAX} are read", text.len())));
    }
    if !text.ends_with('\n') {
        return Err(RegisterError::Malformed("it is cut short: a register ends with a line break".into()));
    }
    let register = match toml::from_str::<Register>(text) {
        Ok(register) => register,
        // One whose form this build can't read may well say that a newer one is needed.
        Err(error) => {
            check_features(&toml::from_str::<Preamble>(text).unwrap_or_default().requires)?;
            let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
            return Err(RegisterError::Malformed(format!("line {line}: {}", error.message())));
        }
    };
    check_features(&register.requires)?;
    Ok(register)
}

/// What of a register is read when the rest can't be.
#[derive(Debug, Default, Deserialize)]
struct Preamble {
    #[serde(default)]
    requires: Vec<String>,
}

fn check_features(requires: &[String]) -> Result<(), RegisterError> {
    let shown =
        |name: &String| format!("`{}`", name.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>());
    let unknown: Vec<String> = requires.iter().filter(|name| !FEATURES.iter().any(|(known, _)| known == name)).take(8).map(shown).collect();
    if unknown.is_empty() { Ok(()) } else { Err(RegisterError::Requires { features: unknown.join(", ") }) }
}

/// Whether a site that works at `level` understands all that the register requires.
///
/// # Errors
/// [`RegisterError::AboveLevel`].
pub(crate) fn check_level(register: &VerifiedRegister, level: Level) -> Result<(), RegisterError> {
    let needed = |name: &String| FEATURES.iter().find(|(known, _)| known == name).map(|(_, from)| *from);
    match register.register().requires.iter().filter_map(needed).max() {
        Some(needed) if needed > level => Err(RegisterError::AboveLevel { needed, level }),
        _ => Ok(()),
    }
}

/// Fields of a text that this build does not know, as `sites.nam`; each once. Nodes ignore them, so that who signs the text should see
/// them.
///
/// # Errors
/// When the text is not a register.
pub fn unknown_fields(text: &str) -> Result<Vec<String>, RegisterError> {
    let known = toml::Table::try_from(read(text)?).map_err(|e| RegisterError::Malformed(e.to_string()))?;
    let given: toml::Table = toml::from_str(text).map_err(|e| RegisterError::Malformed(e.message().into()))?;
    let mut found = Vec::new();
    compare(&given, &known, "", &mut found);
    found.sort();
    found.dedup();
    Ok(found)
}

fn compare(given: &toml::Table, known: &toml::Table, path: &str, found: &mut Vec<String>) {
    for (name, value) in given {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (value, known.get(name)) {
            (toml::Value::Table(given), Some(toml::Value::Table(known))) => compare(given, known, &path, found),
            (toml::Value::Array(given), Some(toml::Value::Array(known))) => {
                for pair in given.iter().zip(known) {
                    if let (toml::Value::Table(given), toml::Value::Table(known)) = pair {
                        compare(given, known, &path, found);
                    }
                }
            }
            // An empty list may be left out when it is written.
            (toml::Value::Array(given), None) if given.is_empty() => {}
            (_, None) => found.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# The tree.\ntree = \"test\"\nversion = 3\ncolour = \"red\" # of a later build\n\n[[sites]]\nsite = 1\nname = \"Centre\"\ntier = \"central\"\nmotto = [1, 2]\n\n[weather]\nwind = 3\n";

    fn key() -> SigningKey {
        SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness")
    }

    #[test]
    fn fields_that_this_build_does_not_know_are_ignored_and_kept() {
        let key = key();
        let signed = SignedRegister::sign(TEXT.into(), &[&key]).expect("whole");
        let verified = signed.verify(&key.public_key(), "test").expect("good");
        assert_eq!((verified.version(), verified.register().sites.len()), (3, 1));
        let travelled: SignedRegister = crate::codec::decode(&crate::codec::encode(&signed).expect("encodes")).expect("own bytes");
        let stored: SignedRegister = serde_json::from_str(&serde_json::to_string(&travelled).expect("text")).expect("own text");
        let filed = SignedRegister::from_file(&stored.to_file()).expect("own file");
        assert_eq!((filed.text.as_str(), &filed.signatures), (TEXT, &signed.signatures), "not a byte is written anew");
        assert_eq!(unknown_fields(TEXT).expect("readable"), ["colour", "sites.motto", "weather"]);
    }

    #[test]
    fn what_a_register_requires_must_be_known_and_the_refusal_says_to_upgrade() {
        let key = key();
        let requiring = |feature: &str| TEXT.replace("version = 3", &format!("version = 3\nrequires = [\"{feature}\"]"));
        assert!(SignedRegister::sign(requiring(FEATURES[0].0), &[&key]).is_ok());
        let unknown = SignedRegister { text: requiring("tides"), signatures: vec![] };
        let refused = unknown.unverified().expect_err("an unknown feature");
        assert_eq!(refused, RegisterError::Requires { features: "`tides`".into() });
        assert!(refused.to_string().contains("upgrade this node"), "{refused}");
        // Also when the rest has a form that this build can't read.
        let newer = SignedRegister { text: requiring("tides").replace("site = 1", "site = \"one\""), signatures: vec![] };
        assert_eq!(newer.unverified().expect_err("an unknown feature"), refused);
    }

    #[test]
    fn a_signature_is_over_the_exact_bytes_of_the_text() {
        let key = key();
        let signed = SignedRegister::sign(TEXT.into(), &[&key]).expect("whole");
        for altered in
            [TEXT.replace("red", "blue"), TEXT.replace("# The tree.", "# A tree."), TEXT.replace("\n\n", "\n"), format!("{TEXT}\n")]
        {
            let altered = SignedRegister { text: altered, ..signed.clone() };
            assert!(matches!(altered.verify(&key.public_key(), "test"), Err(RegisterError::Untrusted { .. })));
        }
    }

    #[test]
    fn a_file_without_signatures_or_with_a_broken_one_is_not_a_signed_register() {
        let signed = SignedRegister::sign(TEXT.into(), &[&key()]).expect("whole");
        let file = signed.to_file();
        assert!(toml::from_str::<Register>(&file).is_ok(), "the file is still TOML");
        for broken in
            [TEXT.to_owned(), file.replace("# ecdsa_p256_sha256", "# rot13"), file.replace("# ecdsa", "ecdsa"), format!("{file}# more\n")]
        {
            assert!(SignedRegister::from_file(&broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_register_with_too_many_signatures_or_too_long_a_text_is_refused_before_it_is_read() {
        let key = key();
        let signed = SignedRegister::sign(TEXT.into(), &[&key]).expect("whole");
        let crowded = SignedRegister { signatures: vec![signed.signatures[0].clone(); SIGNATURES_MAX + 1], ..signed.clone() };
        assert!(matches!(crowded.verify(&key.public_key(), "test"), Err(RegisterError::Malformed(_))));
        let long = SignedRegister { text: format!("{}\n", "#".repeat(REGISTER_BYTES_MAX)), ..signed };
        assert!(matches!(long.verify(&key.public_key(), "test"), Err(RegisterError::Malformed(_))));
    }

    #[test]
    fn a_register_that_was_written_from_its_parts_reads_back_as_the_same() {
        let key = key();
        let node = format!(
            "\n[[sites.nodes]]\nnode = 1\nsigning_key = {{ algorithm = \"ecdsa_p256_sha256\", bytes = \"{}\" }}\nencryption_key = \"{}\"\nrevoked = [{{ origin = 1, last_good_epoch = 1, last_good_seq = 9 }}]\n",
            key.public_key().to_hex(),
            "ab".repeat(32)
        );
        let site = "areas = [{ catalogue = \"legacy-63\", code = \"34\" }]\naddresses = [\"10.0.0.1:7444\", \"10.0.0.2:7444\"]\n";
        let rest = "\n[[origins]]\norigin = 1\nauthor = 1\n\n[[revoked_identities]]\nidentity = \"kho://test/operator/an\"\nissued_before = \"2026-11-27T12:00:00Z\"\n";
        let register = read(&TEXT.replace("\n[weather]", &format!("{site}{node}{rest}\n[weather]"))).expect("whole");
        assert_eq!((register.sites[0].addresses.len(), register.sites[0].nodes[0].revoked.len(), register.origins.len()), (2, 1, 1));
        let signed = SignedRegister::issue(&register, &key).expect("whole");
        assert_eq!(signed.unverified().expect("readable"), register);
    }
}
