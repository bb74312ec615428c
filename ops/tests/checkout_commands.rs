//! Commands of a checkout are programs of their own beside `kho`: it becomes them, so that their arguments and exit codes are kept.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

/// Runs `kho` from `dir`, with nothing on the PATH.
fn kho(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(dir.join("kho")).args(arguments).env("PATH", dir.join("nothing")).output().expect("kho starts")
}

#[test]
fn kho_becomes_the_program_beside_it_and_says_what_to_do_where_there_is_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let built = env!("CARGO_BIN_EXE_kho");
    if fs::hard_link(built, dir.path().join("kho")).is_err() {
        fs::copy(built, dir.path().join("kho")).expect("copied");
    }

    let absent = kho(dir.path(), &["synth", "--out", "x"]);
    let words = String::from_utf8_lossy(&absent.stderr);
    assert_eq!(absent.status.code(), Some(1), "{words}");
    assert!(words.contains("kho-synth") && words.contains("cargo build --release --workspace"), "{words}");

    let program = dir.path().join("kho-synth");
    fs::write(&program, "#!/bin/sh\nfor argument; do echo \"[$argument]\"; done\nexit 7\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    let given = kho(dir.path(), &["synth", "--out", "two words", "--nobody-knows-this"]);
    assert_eq!(given.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&given.stdout), "[--out]\n[two words]\n[--nobody-knows-this]\n");
    assert_eq!(String::from_utf8_lossy(&kho(dir.path(), &["help", "synth"]).stdout), "[--help]\n");
}
