//! Certificates that count no more: an identity, and the time before which its certificates were issued.
//!
//! ```toml
//! [[revoked_identities]]
//! identity = "kho://vn/site/340/client/an"
//! issued_before = "2026-11-27T12:00:00Z"
//! ```
//! Who lost a key gets a new certificate under the same name, issued after that time. This says nothing about signing keys: a head stays
//! good or not by `revoked` of its node (`NodeEntry`).

use serde::{Deserialize, Serialize};

use super::{Register, RegisterError};
use crate::ids::SiteTime;

/// Longest identity: as `kho_replication::identity` reads it.
const IDENTITY_BYTES_MAX: usize = 256;

/// Every certificate of `identity` that was issued before this time is refused at every handshake, and connections that stand by one
/// are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedIdentity {
    /// `kho://TREE/…`, as the certificate names it.
    pub identity: String,
    /// RFC 3339 in texts, to the second.
    #[serde(with = "rfc3339")]
    pub issued_before: SiteTime,
}

/// Checks that every identity is one of the tree's and stands once.
pub(super) fn check(register: &Register) -> Result<(), RegisterError> {
    let mut seen = std::collections::BTreeSet::new();
    let of_tree = format!("kho://{}/", register.tree);
    for entry in &register.revoked_identities {
        let shown: String = entry.identity.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let is_name = entry.identity.len() <= IDENTITY_BYTES_MAX && entry.identity.len() > of_tree.len();
        if !is_name || !entry.identity.starts_with(&of_tree) {
            return Err(RegisterError::NotWhole(format!("the revoked identity `{shown}` does not start with {of_tree}")));
        }
        if !seen.insert(&entry.identity) {
            return Err(RegisterError::NotWhole(format!("the revoked identity {shown} stands twice")));
        }
    }
    Ok(())
}

/// Milliseconds in bytes, RFC 3339 in texts that people edit.
mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use crate::ids::SiteTime;

    pub fn serialize<S: Serializer>(time: &SiteTime, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str(&time.to_rfc3339()) } else { time.serialize(serializer) }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SiteTime, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return SiteTime::from_rfc3339(&text).ok_or_else(|| {
                D::Error::custom(format!("`{}` is not a time; give one as 2026-11-27T12:00:00Z", text.chars().take(40).collect::<String>()))
            });
        }
        SiteTime::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        register::SignedRegister,
        signature::{SignatureAlgorithm, SigningKey},
    };

    const AT: SiteTime = SiteTime(1_764_244_800_000);

    fn revoking(identities: &[&str]) -> Register {
        let entry = |identity: &&str| RevokedIdentity { identity: (*identity).into(), issued_before: AT };
        Register {
            tree: "vn".into(),
            version: 2,
            requires: vec![],
            roots: vec![],
            sites: vec![],
            origins: vec![],
            revoked_identities: identities.iter().map(entry).collect(),
        }
    }

    #[test]
    fn a_revoked_identity_survives_the_signed_form_and_is_found_by_its_whole_name() {
        let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let register = revoking(&["kho://vn/site/3/client/an"]);
        let verified = SignedRegister::issue(&register, &key).expect("whole").verify(&key.public_key(), "vn").expect("good");
        assert_eq!(verified.register(), &register);
        let found: Vec<_> = verified.revoked_identities().collect();
        assert_eq!(found, [("kho://vn/site/3/client/an", AT)]);
    }

    #[test]
    fn the_time_is_a_text_that_people_read() {
        let text = serde_json::to_string(&revoking(&["kho://vn/operator/an"]).revoked_identities).expect("text");
        assert_eq!(text, r#"[{"identity":"kho://vn/operator/an","issued_before":"2025-11-27T12:00:00Z"}]"#);
        let read: Vec<RevokedIdentity> = serde_json::from_str(&text).expect("own text");
        assert_eq!(read[0].issued_before, AT);
        assert!(serde_json::from_str::<Vec<RevokedIdentity>>(&text.replace("2025-11-27T12", "yesterday")).is_err());
    }

    #[test]
    fn an_identity_of_another_tree_or_one_that_stands_twice_is_refused() {
        for identities in [&["kho://test/operator/an"][..], &["an"], &["kho://vn/"], &["kho://vn/operator/an", "kho://vn/operator/an"]] {
            assert!(matches!(revoking(identities).check(), Err(RegisterError::NotWhole(_))), "{identities:?}");
        }
        assert_eq!(revoking(&["kho://vn/operator/an", "kho://vn/site/1/operator/an"]).check(), Ok(()));
    }
}
