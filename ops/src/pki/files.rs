//! Files that appear whole or not at all, and never replace another.

use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Mode 0600.
    Private,
    /// Mode 0644.
    Public,
}

impl Secrecy {
    fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        }
    }
}

/// Refuses when one of `names` stands in `folder` already, so that a command of several files starts none of them.
pub(super) fn refuse_existing(folder: &Path, names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            bail!("{} exists and is never overwritten; name another folder with --out, or move it away", path.display());
        }
    }
    Ok(())
}

pub(super) fn make_folder(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("the folder {} could not be made; name another with --out", folder.display()))
}

/// Writes a file that was not there. Its name appears after its bytes and mode are on disk.
pub(super) fn write_new(path: &Path, content: &[u8], secrecy: Secrecy) -> anyhow::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || format!("{} could not be written", path.display());
    // A temporary file has mode 0600 from its first moment; a private one is never wider.
    let mut file = tempfile::Builder::new().prefix(".kho-pki-").tempfile_in(folder).with_context(failed)?;
    file.write_all(content).with_context(failed)?;
    file.as_file().set_permissions(Permissions::from_mode(secrecy.mode())).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist_noclobber(path).map_err(|e| e.error).with_context(|| {
        format!("{} could not be written; an existing file is never overwritten, name another with --out", path.display())
    })?;
    // The name itself is durable only once the folder is.
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(failed)
}
