//! The two divisions of the country.

use std::fmt;

use serde::Serialize;

/// Which division of the country the areas come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Catalogue {
    /// 63 provinces with districts, before 1 July 2025.
    #[value(name = "legacy-63")]
    #[serde(rename = "legacy-63")]
    Legacy63,
    /// 34 provinces without districts, from 1 July 2025.
    #[value(name = "2025-34")]
    #[serde(rename = "2025-34")]
    Units2025,
}

impl Catalogue {
    /// The value of every row's `catalogue_version`.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Legacy63 => "legacy-63",
            Self::Units2025 => "2025-34",
        }
    }
}

impl fmt::Display for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version())
    }
}
