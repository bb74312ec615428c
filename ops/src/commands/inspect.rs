//! `kho inspect`: keys and values of a stopped node's state database, read-only.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use kho_storage::{
    db::Db,
    error::StorageError,
    inspect::format_entry,
    keys::{Space, successor},
    schema::{Schema, population},
    warehouse::state_place,
};
use serde_json::json;

use super::files::read_text;
use crate::failure::{Failure, Verdict};

/// Longer than any key of the state database.
const KEY_END: [u8; 256] = [0xff; 256];
const SCHEMA_BYTES_MAX: u64 = 4 << 20;

const EXAMPLES: &str = "\
Examples, on the node's machine after `systemctl stop khod`:
  kho inspect /var/lib/kho                                 (how many entries each space holds, and the first of each)
  kho inspect /var/lib/kho --space meta
  kho inspect /var/lib/kho --space rows --prefix 02 --limit 20
  kho inspect /var/lib/kho --space streams --json";

/// Print keys and values of a stopped node's state database, as tests print them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// The node's data folder, the folder of its warehouse, or a copied state database
    dir: PathBuf,

    /// Key space [default: a few entries of each]
    #[arg(long, value_enum)]
    space: Option<SpaceName>,

    /// Only keys that start with these bytes, in hexadecimal
    #[arg(long, value_name = "HEX", requires = "space", value_parser = parse_hex)]
    prefix: Option<Prefix>,

    /// Entries to print
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,

    /// Schema that gives tables and columns their names [default: the population schema built in]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,

    /// Print a JSON object a line: space, key in hexadecimal, text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SpaceName {
    Meta,
    Rows,
    Streams,
    Cubes,
}

impl SpaceName {
    fn space(self) -> Space {
        match self {
            Self::Meta => Space::Meta,
            Self::Rows => Space::Rows,
            Self::Streams => Space::Streams,
            Self::Cubes => Space::Cubes,
        }
    }
}

/// First bytes of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Prefix(Vec<u8>);

fn parse_hex(text: &str) -> Result<Prefix, String> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.trim_start_matches("0x").as_bytes())
        .map(Prefix)
        .map_err(|error| format!("{error}; give pairs of hexadecimal digits"))
}

pub fn run(args: &InspectArgs) -> Result<Verdict, Failure> {
    let schema = match &args.schema {
        Some(file) => &Schema::from_toml(&read_text(file, SCHEMA_BYTES_MAX)?).map_err(|error| Failure::usage(error.to_string(), ""))?,
        None => population(),
    };
    let db = Db::open_read_only(&database_place(&args.dir)?)?;
    let prefix = args.prefix.clone().unwrap_or_default();
    match args.space {
        Some(name) => print_entries(&db, schema, name.space(), &prefix, args.limit.unwrap_or(100), args.json)?,
        None => {
            for space in Space::ALL {
                if !args.json {
                    let (bytes, keys) = db.size(space);
                    writeln!(io::stdout().lock(), "{}: about {keys} entries, {bytes} bytes on disk", space.name())?;
                }
                print_entries(&db, schema, space, &prefix, args.limit.unwrap_or(5), args.json)?;
            }
        }
    }
    Ok(Verdict::Good)
}

/// Finds the state database in what the operator named: a data folder, a warehouse folder, or the database itself.
fn database_place(dir: &Path) -> Result<PathBuf, Failure> {
    let is_database = |place: &Path| place.join("CURRENT").is_file();
    if is_database(dir) {
        return Ok(dir.to_owned());
    }
    let parents = std::iter::once(dir.to_owned())
        .chain(std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()));
    for parent in parents {
        let place = state_place(&parent)?;
        if is_database(&place) {
            return Ok(place);
        }
    }
    Err(Failure::usage(
        format!("{} holds no state database", dir.display()),
        "give the folder that `data_dir` names in the node's configuration",
    ))
}

fn print_entries(db: &Db, schema: &Schema, space: Space, Prefix(prefix): &Prefix, limit: u64, json: bool) -> Result<(), Failure> {
    let end = if prefix.is_empty() { KEY_END.to_vec() } else { successor(prefix) };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut left, mut failed) = (limit, None);
    db.view().scan(space, prefix, &end, |key, value| {
        let Some(rest) = left.checked_sub(1) else { return Ok::<bool, StorageError>(false) };
        left = rest;
        let text = format_entry(schema, space, key, value);
        let written = if json {
            writeln!(out, "{}", json!({ "space": space.name(), "key": data_encoding::HEXLOWER.encode(key), "text": text }))
        } else {
            writeln!(out, "{text}")
        };
        failed = written.err();
        Ok(failed.is_none())
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(out.flush()?),
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::{db::DbLimits, db::WriteSet};

    use super::*;

    #[test]
    fn the_database_is_found_from_the_data_folder_the_warehouse_or_itself() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = dir.path().join("warehouse").join("state-1");
        std::fs::create_dir_all(&state).expect("makes folders");
        {
            let db = Db::open(&state, DbLimits { cache_bytes_max: 1 << 20, write_buffer_bytes_max: 1 << 20 }).expect("opens");
            let mut set = WriteSet::default();
            set.put(Space::Meta, vec![0x02], kho_storage::codec::encode(&("vn", 7u32)).expect("encodes"));
            db.write(set).expect("writes");
            db.flush().expect("flushes");
        }
        for place in [dir.path(), &dir.path().join("warehouse"), &state] {
            assert_eq!(database_place(place).expect("found"), state);
        }
        let empty = tempfile::tempdir().expect("a folder");
        assert!(database_place(empty.path()).is_err());
    }

    #[test]
    fn a_prefix_is_hexadecimal() {
        assert_eq!(parse_hex("0x02ff"), Ok(Prefix(vec![2, 255])));
        assert!(parse_hex("2").is_err());
    }
}
