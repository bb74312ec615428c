//! Which files are imported, in which order, as what.

use std::{
    fmt, fs,
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;
use kho_storage::schema::population;

use super::records::RecordForm;
use crate::failure::Failure;

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    StandardInput,
}

/// One file to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub place: Place,
    pub form: RecordForm,
    /// Always there for CSV; NDJSON names a table in every line.
    pub table: Option<String>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => path.display().fmt(f),
            Place::StandardInput => f.write_str("standard input"),
        }
    }
}

/// An open source: decompressed bytes, and how many bytes of the file itself were read for them.
pub struct OpenSource {
    pub reader: Box<dyn Read + Send>,
    pub bytes_read: Arc<AtomicU64>,
}

impl Source {
    /// The file, if it is one: only a file has a size and a journal.
    pub fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::StandardInput => None,
        }
    }

    /// Bytes of the file as it lies, compressed or not.
    pub fn size(&self) -> u64 {
        self.file().and_then(|path| fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
    }

    /// Opens the source; gzip is recognised by its first bytes, not by its name.
    pub fn open(&self) -> io::Result<OpenSource> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let raw: Box<dyn Read + Send> = match &self.place {
            Place::File(path) => Box::new(File::open(path)?),
            Place::StandardInput => Box::new(io::stdin()),
        };
        let counted = Counted { reader: raw, bytes_read: Arc::clone(&bytes_read) };
        let mut buffered = BufReader::with_capacity(256 << 10, counted);
        let compressed = buffered.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn Read + Send> = if compressed { Box::new(MultiGzDecoder::new(buffered)) } else { Box::new(buffered) };
        Ok(OpenSource { reader, bytes_read })
    }
}

/// Counts what passes.
struct Counted {
    reader: Box<dyn Read + Send>,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(buffer)?;
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// What the command line says of all sources.
#[derive(Debug, Default, Clone)]
pub struct SourceChoice {
    pub table: Option<String>,
    pub form: Option<RecordForm>,
}

/// Turns arguments into sources: files and `-` as they stand, folders into the tables' files under them.
///
/// # Errors
/// Usage: a name that does not exist or does not say its table, or a folder without any table's file.
pub fn find(arguments: &[PathBuf], choice: &SourceChoice) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            sources.push(describe(Place::StandardInput, "", choice)?);
            continue;
        }
        let metadata = fs::metadata(argument)
            .map_err(|error| Failure::usage(format!("{} can't be read: {error}", argument.display()), "check the name"))?;
        if metadata.is_dir() {
            let before = sources.len();
            walk(argument, &mut sources)?;
            if sources.len() == before {
                return Err(Failure::usage(
                    format!("no {} stands under {}", file_names().join(", "), argument.display()),
                    "name the files themselves, or write some with `kho synth`",
                ));
            }
        } else {
            let name = argument.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            sources.push(describe(Place::File(argument.clone()), name, choice)?);
        }
    }
    if sources.iter().filter(|source| source.place == Place::StandardInput).count() > 1 {
        return Err(Failure::usage("standard input is named twice", "name it once"));
    }
    Ok(sources)
}

/// A folder's own tables in the order of the schema, then its folders by name. Links to folders are not followed.
fn walk(dir: &Path, sources: &mut Vec<Source>) -> Result<(), Failure> {
    let unreadable = |error: io::Error| Failure::usage(format!("{} can't be read: {error}", dir.display()), "check the folder's rights");
    let mut entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for (table, name) in table_names().zip(file_names()) {
        for name in [name.clone(), format!("{name}.gz")] {
            let path = dir.join(name);
            if path.is_file() {
                sources.push(Source { place: Place::File(path), form: RecordForm::Csv, table: Some(table.into()) });
            }
        }
    }
    for entry in entries {
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&entry.path(), sources)?;
        }
    }
    Ok(())
}

fn table_names() -> impl Iterator<Item = &'static str> {
    population().tables.iter().map(|table| table.name.as_str())
}

fn file_names() -> Vec<String> {
    table_names().map(|table| format!("{table}.csv")).collect()
}

/// What a file holds, by its name and the command line; the command line counts more.
fn describe(place: Place, name: &str, choice: &SourceChoice) -> Result<Source, Failure> {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let (stem, ending) = plain.rsplit_once('.').unwrap_or((plain, ""));
    let form = choice.form.or(match (ending, choice.table.is_some()) {
        ("csv", _) => Some(RecordForm::Csv),
        ("ndjson" | "jsonl", _) => Some(RecordForm::Ndjson),
        // Only CSV needs a table from outside.
        ("", true) => Some(RecordForm::Csv),
        ("", false) if place == Place::StandardInput => Some(RecordForm::Ndjson),
        _ => None,
    });
    let form = form.ok_or_else(|| {
        Failure::usage(format!("the name of {name} does not say how it is written"), "give --format csv or --format ndjson")
    })?;
    let table = match form {
        RecordForm::Ndjson => None,
        RecordForm::Csv => {
            let by_name = || table_names().find(|table| *table == stem).map(str::to_owned);
            let table = choice.table.clone().or_else(by_name);
            Some(table.ok_or_else(|| {
                Failure::usage(
                    format!("the name of {} does not say its table", if name.is_empty() { "standard input" } else { name }),
                    format!("give --table {}", table_names().collect::<Vec<_>>().join("|")),
                )
            })?)
        }
    };
    Ok(Source { place, form, table })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn found(names: &[&str], choice: &SourceChoice) -> Result<Vec<(RecordForm, Option<String>)>, Failure> {
        let dir = tempfile::tempdir().expect("a folder");
        let paths: Vec<PathBuf> = names.iter().map(|name| if *name == "-" { "-".into() } else { dir.path().join(name) }).collect();
        for path in paths.iter().filter(|path| path.as_os_str() != "-") {
            fs::write(path, "x").expect("writes");
        }
        Ok(find(&paths, choice)?.into_iter().map(|source| (source.form, source.table)).collect())
    }

    #[test]
    fn a_file_s_name_tells_its_table_and_form_unless_the_command_does() {
        let none = SourceChoice::default();
        let person = Some("person".to_owned());
        let of_person = SourceChoice { table: person.clone(), form: None };
        assert_eq!(
            found(&["person.csv", "person.csv.gz", "changes.ndjson"], &none),
            Ok(vec![(RecordForm::Csv, person.clone()), (RecordForm::Csv, person.clone()), (RecordForm::Ndjson, None)])
        );
        assert_eq!(found(&["slip.csv", "-"], &of_person), Ok(vec![(RecordForm::Csv, person.clone()), (RecordForm::Csv, person)]));
        assert_eq!(found(&["-"], &none), Ok(vec![(RecordForm::Ndjson, None)]));
        for names in [&["slip.csv"][..], &["person.txt"], &["-", "-"]] {
            assert!(found(names, &none).is_err(), "{names:?}");
        }
        assert!(find(&["/nonexistent/person.csv".into()], &none).is_err());
    }

    #[test]
    fn a_folder_is_walked_table_by_table_and_folder_by_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["b/person.csv", "b/household.csv", "a/event.csv.gz", "a/deep/person.csv", "a/summary.json"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("makes folders");
            fs::write(path, "x").expect("writes");
        }
        let sources = find(&[dir.path().to_owned()], &SourceChoice::default()).expect("has tables");
        let names: Vec<_> = sources
            .iter()
            .map(|source| source.file().and_then(|path| path.strip_prefix(dir.path()).ok()).expect("under it").display().to_string())
            .collect();
        assert_eq!(names, ["a/event.csv.gz", "a/deep/person.csv", "b/household.csv", "b/person.csv"]);
        assert!(find(&[dir.path().join("a/deep/..").join("deep")], &SourceChoice::default()).is_ok());
    }

    #[test]
    fn gzip_is_told_by_its_bytes() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("person.csv");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"a\n1\n").expect("to memory");
        fs::write(&path, encoder.finish().expect("to memory")).expect("writes");
        let source = Source { place: Place::File(path), form: RecordForm::Csv, table: Some("person".into()) };
        let mut open = source.open().expect("opens");
        let mut text = String::new();
        open.reader.read_to_string(&mut text).expect("reads");
        assert_eq!(text, "a\n1\n");
        assert_eq!(open.bytes_read.load(Ordering::Relaxed), source.size());
    }
}
