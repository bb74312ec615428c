//! `FILE.kho-import`: how far a file is imported, so that an interrupted import goes on where it was.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kho_node::entry::UnnamedColumns;
use serde::{Deserialize, Serialize};

use super::{batches::HashedMark, records::RecordForm};
use crate::{
    commands::files::{Existing, Secrecy, write_file},
    failure::Failure,
};

/// What decides into which batches a file is cut and which keys they get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSettings {
    /// Tree and site that the file goes to.
    pub target: String,
    pub form: RecordForm,
    pub table: Option<String>,
    pub batch_rows: u64,
    /// What happens to columns that the file does not name.
    pub unnamed: UnnamedColumns,
    /// Word that sets a deliberate second import apart; usually empty.
    pub again: String,
}

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub version: u32,
    #[serde(flatten)]
    pub settings: ImportSettings,
    /// Everything before this place is acknowledged by the site.
    pub acknowledged: HashedMark,
}

const VERSION: u32 = 2;

/// How an import starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Fresh,
    /// Behind this place, in batches of this many rows, as the interrupted import cut them.
    Resume {
        after: HashedMark,
        batch_rows: u64,
    },
}

impl Journal {
    pub fn new(settings: ImportSettings, acknowledged: HashedMark) -> Self {
        Self { version: VERSION, settings, acknowledged }
    }

    /// Where the journal of `file` stands.
    pub fn place(file: &Path) -> PathBuf {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".kho-import");
        file.with_file_name(name)
    }

    /// Reads the journal of `file`, if it has one.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn load(file: &Path) -> Result<Option<Self>, Failure> {
        let place = Self::place(file);
        let broken = |why: String| {
            Failure::refused(
                format!("the journal {} can't be read: {why}", place.display()),
                "give --restart to import the file from its start; rows that are in already are not entered again",
            )
        };
        match fs::read(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken(error.to_string())),
            Ok(bytes) => match serde_json::from_slice::<Self>(&bytes) {
                Ok(journal) if journal.version == VERSION => Ok(Some(journal)),
                Ok(journal) => Err(broken(format!("it has version {}", journal.version))),
                Err(error) => Err(broken(error.to_string())),
            },
        }
    }

    pub fn save(&self, file: &Path) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        write_file(&Self::place(file), &bytes, Secrecy::Public, Existing::Replace).map_err(|failure| Failure {
            hint: "make the folder writable, or give --no-journal: repeating the import is safe without it".into(),
            ..failure
        })
    }

    /// The import is complete.
    pub fn remove(file: &Path) -> Result<(), Failure> {
        match fs::remove_file(Self::place(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::refused(
                format!("{} could not be removed: {error}", Self::place(file).display()),
                "remove it by hand; the import is complete",
            )),
            _ => Ok(()),
        }
    }
}

/// Decides whether an import goes on where a journal ends. Pure.
///
/// # Errors
/// When the journal belongs to an import that would enter something else.
pub fn start(journal: Option<Journal>, wanted: &ImportSettings) -> Result<Start, Failure> {
    let Some(journal) = journal else { return Ok(Start::Fresh) };
    let before = journal.settings;
    // Another size of batches would give the batches in flight when it was interrupted other keys.
    let same = ImportSettings { batch_rows: wanted.batch_rows, ..before.clone() };
    if same == *wanted {
        return Ok(Start::Resume { after: journal.acknowledged, batch_rows: before.batch_rows });
    }
    let table = before.table.as_deref().unwrap_or("no table");
    let again = if before.again.is_empty() { String::new() } else { format!(", --again {}", before.again) };
    let unnamed = if before.unnamed == UnnamedColumns::Clear { ", --clear-unnamed" } else { "" };
    Err(Failure::refused(
        format!("the file was partly imported otherwise: as {} of {table} into {}{again}{unnamed}", before.form.word(), before.target),
        "repeat that command to go on with it, or give --restart to import the file from its start",
    ))
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::Hash32;

    use super::*;
    use crate::commands::import::batches::Mark;

    fn settings() -> ImportSettings {
        ImportSettings {
            target: "kho://vn site 7".into(),
            form: RecordForm::Csv,
            table: Some("person".into()),
            batch_rows: 5_000,
            unnamed: UnnamedColumns::Stay,
            again: String::new(),
        }
    }

    fn mark() -> HashedMark {
        HashedMark { mark: Mark { bytes: 10, rows: 2, lines: 3 }, hash: Hash32::of(b"x") }
    }

    #[test]
    fn an_import_goes_on_where_its_journal_ends_in_batches_of_the_same_size() {
        assert_eq!(start(None, &settings()), Ok(Start::Fresh));
        let wanted = ImportSettings { batch_rows: 100, ..settings() };
        assert_eq!(start(Some(Journal::new(settings(), mark())), &wanted), Ok(Start::Resume { after: mark(), batch_rows: 5_000 }));
    }

    #[test]
    fn a_journal_of_another_site_table_or_purpose_is_refused_with_what_to_do() {
        let others = [
            ImportSettings { target: "kho://vn site 8".into(), ..settings() },
            ImportSettings { table: Some("event".into()), ..settings() },
            ImportSettings { again: "second".into(), ..settings() },
            ImportSettings { unnamed: UnnamedColumns::Clear, ..settings() },
            ImportSettings { form: RecordForm::Ndjson, ..settings() },
        ];
        for wanted in others {
            let refused = start(Some(Journal::new(settings(), mark())), &wanted).expect_err("another import");
            assert!(refused.hint.contains("--restart"), "{refused}");
        }
    }

    #[test]
    fn a_journal_survives_its_file_and_is_gone_when_the_import_is_complete() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("person.csv");
        assert_eq!(Journal::load(&file), Ok(None));
        let journal = Journal::new(settings(), mark());
        journal.save(&file).expect("saves");
        assert_eq!(Journal::load(&file), Ok(Some(journal)));
        assert!(dir.path().join("person.csv.kho-import").exists());
        Journal::remove(&file).expect("removes");
        Journal::remove(&file).expect("nothing left to remove");
        assert_eq!(Journal::load(&file), Ok(None));
        fs::write(Journal::place(&file), "{").expect("writes");
        assert!(Journal::load(&file).is_err());
    }
}
