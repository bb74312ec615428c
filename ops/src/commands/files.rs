//! Files that commands write: whole or not at all.

use std::{
    fs::{self, File, Permissions},
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Mode 0600.
    Private,
    /// Mode 0644.
    Public,
}

/// Whether a file of that name may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Refuse,
    Replace,
}

/// A file under way: it has its name only once it is finished.
pub struct FreshFile {
    file: NamedTempFile,
    secrecy: Secrecy,
    existing: Existing,
    path: std::path::PathBuf,
}

impl FreshFile {
    /// Starts a file that will be called `path`.
    ///
    /// # Errors
    /// When the folder can't be written to, or `path` exists and must not.
    pub fn start(path: &Path, secrecy: Secrecy, existing: Existing) -> Result<Self, Failure> {
        if existing == Existing::Refuse && path.symlink_metadata().is_ok() {
            return Err(Failure::usage(
                format!("{} exists and is never overwritten", path.display()),
                "name another file, or move it away",
            ));
        }
        let file = tempfile::Builder::new().prefix(".kho-").tempfile_in(folder(path)).map_err(|error| unwritable(path, &error))?;
        Ok(Self { file, secrecy, existing, path: path.to_owned() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| unwritable(&self.path, &error))
    }

    /// Puts the bytes on disk, then gives the file its name.
    pub fn finish(self) -> Result<(), Failure> {
        let Self { file, secrecy, existing, path } = self;
        let failed = |error: &std::io::Error| unwritable(&path, error);
        let mode = match secrecy {
            Secrecy::Private => 0o600,
            Secrecy::Public => 0o644,
        };
        file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(|error| failed(&error))?;
        file.as_file().sync_all().map_err(|error| failed(&error))?;
        match existing {
            Existing::Refuse => file.persist_noclobber(&path),
            Existing::Replace => file.persist(&path),
        }
        .map_err(|error| failed(&error.error))?;
        File::open(folder(&path)).and_then(|folder| folder.sync_all()).map_err(|error| failed(&error))
    }
}

/// Writes a whole file.
pub fn write_file(path: &Path, bytes: &[u8], secrecy: Secrecy, existing: Existing) -> Result<(), Failure> {
    let mut file = FreshFile::start(path, secrecy, existing)?;
    file.write(bytes)?;
    file.finish()
}

/// Reads a text file of at most `bytes_max`.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let mut text = String::new();
    let opened = fs::File::open(path)
        .map_err(|error| Failure::usage(format!("{} could not be opened: {error}", path.display()), "check the name"))?;
    opened
        .take(bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("{} is not a text file: {error}", path.display()), "check the name"))?;
    if text.len() as u64 > bytes_max {
        return Err(Failure::usage(format!("{} is longer than {bytes_max} bytes", path.display()), "check the name"));
    }
    Ok(text)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("{} could not be written: {error}", path.display()), "check the folder's rights and space, or name another")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;

    #[test]
    fn a_file_appears_when_it_is_whole_and_never_over_another_unless_that_is_wanted() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("key");
        let mut file = FreshFile::start(&path, Secrecy::Private, Existing::Refuse).expect("starts");
        file.write(b"a").expect("writes");
        assert!(!path.exists());
        file.finish().expect("finishes");
        assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        let again = write_file(&path, b"b", Secrecy::Public, Existing::Refuse).expect_err("it exists");
        assert_eq!(again.kind, FailureKind::Usage);
        write_file(&path, b"b", Secrecy::Public, Existing::Replace).expect("may replace");
        assert_eq!(read_text(&path, 10).expect("text"), "b");
        assert!(read_text(&path, 0).is_err());
    }
}
