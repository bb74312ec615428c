//! Small files of a node's own, in JSON, beside the state: they say their format, and change at once or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Why the content of a file is not what this build reads.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it has format {found}, and this build reads format {known}: a newer Kho wrote it; install that on this node again")]
    OtherFormat { found: u32, known: u32 },
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

/// Reads what a file holds, whose field `format` has to be `known`. It is read first: what else stands in a file of a newer build is not
/// known.
///
/// # Errors
/// [`Unreadable`].
pub fn parse<T: DeserializeOwned>(bytes: &[u8], known: u32) -> Result<T, Unreadable> {
    #[derive(Deserialize)]
    struct Start {
        format: u32,
    }
    let Start { format: found } = serde_json::from_slice(bytes)?;
    if found != known {
        return Err(Unreadable::OtherFormat { found, known });
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Writes `content` in place of what `folder` holds under this name, if anything. After a crash the one or the other is there.
///
/// # Errors
/// The file system's.
pub fn replace(folder: &Path, name: &str, content: &impl Serialize) -> io::Result<()> {
    let fresh = folder.join(format!("{name}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(name))?;
    File::open(folder)?.sync_all()
}
