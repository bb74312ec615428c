//! The documents against the code: what the walk of one record in `ARCHITECTURE.md` names exists, and what `docs/README.md` answers.
//!
//! How the walk is written: in each step every file stands in code marks and ends in `.rs`; it is a whole path or the end of one. A
//! function, in lower case, stands after its file and is defined in it. A type, a variant (`Type::Variant`) and a constant are
//! defined somewhere in the workspace. Code marks around anything else (`kho import`, `person.csv`) are left alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text_of(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A source file: its path in the workspace, with `/` before it, and its text.
struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in ["storage", "replication", "node", "ops"] {
        collect(&root().join(folder), &format!("/{folder}"), &mut sources);
    }
    assert!(sources.len() > 100, "the sources were found");
    sources
}

fn collect(folder: &Path, name: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout") {
        let entry = entry.expect("an entry of a folder of the checkout");
        let path = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a type of file").is_dir() {
            collect(&entry.path(), &path, sources);
        } else if path.ends_with(".rs") {
            sources.push(Source { path, text: fs::read_to_string(entry.path()).expect("a source file is text") });
        }
    }
}

/// Whether `text` holds `start`, then `name` as a whole word.
fn defines(text: &str, start: &str, name: &str) -> bool {
    let wanted = format!("{start}{name}");
    text.match_indices(&wanted).any(|(at, _)| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        !text[..at].ends_with(is_word) && !text[at + wanted.len()..].starts_with(is_word)
    })
}

fn defines_type(text: &str, name: &str) -> bool {
    ["struct ", "enum ", "trait ", "type ", "const "].iter().any(|start| defines(text, start, name))
}

/// The steps of the walk, each the text from its number to the next.
fn steps(architecture: &str) -> Vec<String> {
    let (_, walk) = architecture.split_once("\n## The walk of one record\n").expect("ARCHITECTURE.md has the walk");
    let walk = walk.split("\n## ").next().expect("a first part");
    let mut steps: Vec<String> = Vec::new();
    for line in walk.lines() {
        if line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok()) {
            steps.push(String::new());
        }
        if let Some(step) = steps.last_mut() {
            step.push_str(line);
            step.push('\n');
        }
    }
    steps
}

/// What stands in code marks.
fn marked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether `mark` can be a name of the code: words of letters, digits and `_`, joined by `::`.
fn is_name(mark: &str) -> bool {
    mark.starts_with(|c: char| c.is_ascii_alphabetic()) && mark.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':')
}

/// What is wrong with `name`, which stands after the files `named`.
fn fault<'a>(name: &str, named: &[&'a Source], sources: &'a [Source]) -> Option<String> {
    let (owner, last) = name.rsplit_once("::").map_or((None, name), |(owner, last)| (Some(owner), last));
    if last.starts_with(|c: char| c.is_ascii_lowercase()) {
        let Some(file) = named.last() else { return Some(format!("no file stands before the function `{name}`")) };
        return (!defines(&file.text, "fn ", last)).then(|| format!("{} has no function `{last}`", file.path));
    }
    let found = match owner {
        Some(owner) => sources.iter().any(|source| defines_type(&source.text, owner) && defines(&source.text, "", last)),
        None => sources.iter().any(|source| defines_type(&source.text, last)),
    };
    (!found).then(|| format!("nothing in the workspace defines `{name}`"))
}

#[test]
fn every_file_and_function_of_the_walk_exists() {
    let sources = sources();
    let steps = steps(&text_of("ARCHITECTURE.md"));
    let (mut files, mut names, mut faults) = (0, 0, Vec::new());
    for (at, step) in steps.iter().enumerate() {
        let mut named = Vec::new();
        for mark in marked(step) {
            if mark.ends_with(".rs") {
                files += 1;
                match sources.iter().filter(|source| source.path.ends_with(&format!("/{mark}"))).collect::<Vec<_>>()[..] {
                    [source] => named.push(source),
                    [] => faults.push(format!("step {}: there is no file `{mark}`", at + 1)),
                    _ => faults.push(format!("step {}: several files end in `{mark}`; give more of the path", at + 1)),
                }
            } else if is_name(mark) {
                names += 1;
                faults.extend(fault(mark, &named, &sources).map(|fault| format!("step {}: {fault}", at + 1)));
            }
        }
    }
    assert!(faults.is_empty(), "ARCHITECTURE.md, the walk of one record:\n{}", faults.join("\n"));
    assert!(steps.len() >= 15 && files >= 30 && names >= 40, "the walk was read: {} steps, {files} files, {names} names", steps.len());
}

#[test]
fn every_answer_to_a_newcomer_s_question_is_a_file() {
    let text = text_of("docs/README.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| Where ")).collect();
    assert!(rows.len() >= 10, "{} questions", rows.len());
    for row in rows {
        let answer = row.split('|').nth(2).expect("a second column");
        let files: Vec<&str> = marked(answer).filter(|mark| mark.contains('/')).collect();
        assert!(!files.is_empty(), "no file answers: {row}");
        for file in files {
            assert!(root().join(file).exists(), "docs/README.md answers with `{file}`, which does not exist");
        }
    }
}
