//! What can go wrong while a population is planned or written, and what to do about it.

use std::path::PathBuf;

use crate::catalogue::Catalogue;

/// A refusal or failure of `kho synth`. Every message names its subject and the next thing to try.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    #[error(
        "province `{code}` does not exist in catalogue {catalogue}; known codes: {known}. \
         Hint: `kho synth --help` shows how to choose the other catalogue"
    )]
    UnknownProvince { code: String, catalogue: Catalogue, known: String },

    #[error("the plan cannot be carried out: {reason}. Hint: `kho synth --help` lists the limits")]
    BadPlan { reason: String },

    #[error("unit file {file} cannot be read: {reason}. Hint: leave out `--catalogues` to use the files built into `kho-synth`")]
    UnreadableUnits { file: String, reason: String },

    #[error(
        "output folder {path} is not empty, and a mixture of two populations would look like one. \
         Hint: choose another folder with `--out`, or empty this one"
    )]
    OutputNotEmpty { path: PathBuf },

    #[error("output {path} cannot be written: {source}. Hint: check free space and rights, then run `kho synth` again")]
    Output { path: PathBuf, source: std::io::Error },
}

impl SynthError {
    pub(super) fn bad_plan(reason: impl Into<String>) -> Self {
        Self::BadPlan { reason: reason.into() }
    }

    pub(super) fn output(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Output { path: path.into(), source }
    }
}
