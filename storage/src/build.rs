//! What a build calls itself. For people alone: nothing is decided by it, what builds share is their [level](crate::level).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of a build, and the commit that it was made from, where it knows that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Build {
    major: u16,
    minor: u16,
    patch: u16,
    /// The first eight hexadecimal digits of its hash.
    commit: Option<u32>,
}

impl Build {
    /// This build. The variable `KHO_COMMIT` names the commit, if it is set while Kho is compiled.
    pub const THIS: Self = Self {
        major: decimal(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: decimal(env!("CARGO_PKG_VERSION_MINOR")),
        patch: decimal(env!("CARGO_PKG_VERSION_PATCH")),
        commit: match option_env!("KHO_COMMIT") {
            Some(commit) => Some(commit_start(commit)),
            None => None,
        },
    };
}

/// Of text that Cargo gives: digits alone, of a number that fits.
const fn decimal(text: &str) -> u16 {
    let (digits, mut at, mut number) = (text.as_bytes(), 0, 0);
    while at < digits.len() {
        number = number * 10 + (digits[at] - b'0') as u16;
        at += 1;
    }
    number
}

const fn commit_start(hash: &str) -> u32 {
    let (digits, mut at, mut number) = (hash.as_bytes(), 0, 0);
    assert!(digits.len() >= 8, "KHO_COMMIT is the hash of a commit: eight hexadecimal digits, or more");
    while at < 8 {
        number = match (digits[at] as char).to_digit(16) {
            Some(digit) => number << 4 | digit,
            None => panic!("KHO_COMMIT is the hash of a commit, in hexadecimal digits"),
        };
        at += 1;
    }
    number
}

/// `0.1.0`, or with a commit `0.1.0+1d210c1f`.
impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match self.commit {
            Some(commit) => write!(f, "+{commit:08x}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_says_its_version_and_the_commit_that_it_knows() {
        let known = Build { major: 0, minor: 12, patch: 3, commit: Some(commit_start("0d210c1f6a41")) };
        assert_eq!(known.to_string(), "0.12.3+0d210c1f");
        assert_eq!(Build { commit: None, ..known }.to_string(), "0.12.3");
        assert!(Build::THIS.to_string().starts_with(env!("CARGO_PKG_VERSION")));
    }
}
