//! The words of `kho register sign`, `verify` and `rotate-key`.

use std::path::PathBuf;

use clap::Args;
use kho_storage::{
    register::{RootSet, Roots, SignedRegister, unknown_fields},
    signature::PublicKey,
};
use serde_json::json;

use super::{
    command::DRAFT_BYTES_MAX,
    rotate::{Rotation, rotate},
    sign,
};
use crate::{
    commands::{
        files::{Existing, Secrecy, read_text, write_file},
        print,
    },
    failure::Failure,
};

#[derive(Debug, Args)]
pub struct SignArgs {
    /// File that `kho register issue` wrote; the signatures are added to it
    file: PathBuf,
    /// A private key that `kho register key` made; may be repeated
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// Change nothing, and say what would be signed
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// File that `kho register issue` wrote
    file: PathBuf,
    /// A public key by which it must be signed, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = sign::public_key)]
    register_key: Option<PublicKey>,
    /// The register before it: so many of the roots that it names must have signed
    #[arg(long, value_name = "FILE")]
    after: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct RotateKeyArgs {
    /// The register's text; written anew
    register: PathBuf,
    /// Public half of a key that shall sign, in hexadecimal, as `kho register key` printed it; may be repeated
    #[arg(long = "new-key", value_name = "HEX", value_parser = sign::public_key, required_unless_present = "finish")]
    new_keys: Vec<PublicKey>,
    /// So many of the new keys have to sign
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    threshold: usize,
    /// The key that signs now, when the text names no roots yet: every node's configuration has it
    #[arg(long = "old-key", value_name = "HEX", value_parser = sign::public_key)]
    old_key: Option<PublicKey>,
    /// Name the new keys alone: the second and last step
    #[arg(long, conflicts_with_all = ["new_keys", "old_key", "threshold"])]
    finish: bool,
    /// Print the text that would be written, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn sign(args: &SignArgs) -> Result<(), Failure> {
    let mut signed = sign::load_signed(&args.file)?;
    let register = opened(&signed, None)?;
    for file in &args.keys {
        signed.add_signature(&sign::load_key(file)?).map_err(|error| Failure::refused(error.to_string(), ""))?;
    }
    let signers: Vec<String> = signed.good_keys().map(PublicKey::to_hex).collect();
    if !args.dry_run {
        write_file(&args.file, signed.to_file().as_bytes(), Secrecy::Public, Existing::Replace)?;
    }
    if args.json {
        return print::json(
            &json!({ "file": args.file, "tree": register.tree, "version": register.version, "hash": signed.hash(), "signed_by": signers, "written": !args.dry_run }),
        );
    }
    print::line(format!(
        "version {} of tree {}, hash {} {} signed by {}",
        register.version,
        register.tree,
        signed.hash(),
        if args.dry_run { "would be" } else { "is" },
        signers.join("\nand by ")
    ))
}

pub(super) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let signed = sign::load_signed(&args.file)?;
    let register = opened(&signed, args.register_key.as_ref())?;
    register.check().map_err(|error| Failure::refused(error.to_string(), ""))?;
    let signers: Vec<String> = signed.good_keys().map(PublicKey::to_hex).collect();
    if signers.len() < signed.signatures.len() || signers.is_empty() {
        return Err(Failure::refused(
            format!("{} of its {} signatures are good", signers.len(), signed.signatures.len()),
            "the file was changed after it was signed, if only by a line break; fetch it again, or sign it with `kho register issue`",
        ));
    }
    if let Some(file) = &args.after {
        let earlier = opened(&sign::load_signed(file)?, None)?;
        if earlier.roots.is_empty() {
            return Err(Failure::refused(
                format!("{} names no roots: who signs after it was said before it", file.display()),
                "give the last register that names some, or --register-key",
            ));
        }
        signed
            .verify_under(&Roots(earlier.roots), &earlier.tree)
            .map_err(|error| Failure::refused(error.to_string(), "have the holders of the other keys run `kho register sign`"))?;
    }
    if args.json {
        let fields = unknown_fields(&signed.text).map_err(|error| Failure::refused(error.to_string(), ""))?;
        return print::json(
            &json!({ "tree": register.tree, "version": register.version, "hash": signed.hash(), "signed_by": signers, "unknown_fields": fields }),
        );
    }
    print::line(format!(
        "version {} of tree {}, hash {}: whole and understood{}\nsigned by {}",
        register.version,
        register.tree,
        signed.hash(),
        ignored(&signed.text)?,
        signers.join("\nand by ")
    ))
}

pub(super) fn rotate_key(args: &RotateKeyArgs) -> Result<(), Failure> {
    let alone = |key: &PublicKey| RootSet { threshold: 1, keys: vec![key.clone()] };
    let rotation = if args.finish {
        Rotation::Finish
    } else {
        let new = RootSet { threshold: args.threshold, keys: args.new_keys.clone() };
        Rotation::Begin { old: args.old_key.as_ref().map(alone), new }
    };
    let (text, roots) = rotate(&read_text(&args.register, DRAFT_BYTES_MAX)?, &rotation)?;
    if !args.dry_run {
        write_file(&args.register, text.as_bytes(), Secrecy::Public, Existing::Replace)?;
    }
    if args.json {
        return print::json(&json!({ "file": args.register, "roots": roots, "written": !args.dry_run }));
    }
    if args.dry_run {
        return print::line(text.trim_end());
    }
    print::line(format!(
        "{} names {}; raise `version`, sign it with `kho register issue` by {}, and apply it at the centre.\n{}",
        args.register.display(),
        if args.finish { "the new keys alone" } else { "the new keys beside those of now" },
        if args.finish { "a new key" } else { "a key of now" },
        if args.finish {
            "Then write a new key into every node's configuration, before a site is founded by it."
        } else {
            "When every site has it (`kho status`), run `kho register rotate-key` again, with --finish."
        }
    ))
}

/// A line about the fields that this version does not know.
pub(super) fn ignored(text: &str) -> Result<String, Failure> {
    let fields = unknown_fields(text).map_err(|error| Failure::refused(error.to_string(), ""))?;
    Ok(if fields.is_empty() { String::new() } else { format!("\nof a later version, ignored by this one: {}", fields.join(", ")) })
}

/// The register inside. With a key, that key must have signed it.
pub(super) fn opened(signed: &SignedRegister, key: Option<&PublicKey>) -> Result<kho_storage::register::Register, Failure> {
    let register = signed.unverified().map_err(|error| Failure::refused(error.to_string(), ""))?;
    if let Some(key) = key {
        signed
            .verify(key, &register.tree)
            .map_err(|error| Failure::refused(error.to_string(), "compare the key with what `kho register key` printed"))?;
    }
    Ok(register)
}

#[cfg(test)]
mod tests {
    use kho_storage::signature::SignatureAlgorithm;

    use super::*;
    use crate::commands::register::{draft, sign::UnknownFields};

    #[test]
    fn a_register_is_signed_by_one_holder_after_another_until_the_register_before_it_is_satisfied() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str| dir.path().join(name);
        let keys: Vec<PublicKey> = ["a.key", "b.key", "c.key"]
            .iter()
            .map(|name| sign::make_key(&file(name), SignatureAlgorithm::default()).expect("makes"))
            .collect();
        let load = |name: &str| sign::load_key(&file(name)).expect("loads");
        let new = RootSet { threshold: 2, keys: keys[..2].to_vec() };
        let (first, _) = rotate(&draft::skeleton("vn"), &Rotation::Begin { old: Some(RootSet { threshold: 2, keys }), new }).expect("fits");
        let issue = |text: &str, out: &str| {
            sign::issue(text, &[load("a.key")], &file(out), UnknownFields::Refuse).expect("signs");
        };
        issue(&first, "1.toml");
        issue(&first.replace("version = 1", "version = 2"), "2.toml");
        let verify_second = || verify(&VerifyArgs { file: file("2.toml"), register_key: None, after: Some(file("1.toml")), json: true });
        assert!(verify_second().expect_err("one of two").hint.contains("kho register sign"));
        let more = |dry_run| sign(&SignArgs { file: file("2.toml"), keys: vec![file("c.key")], dry_run, json: true });
        more(true).expect("signs");
        assert!(verify_second().is_err(), "nothing was written");
        more(false).expect("signs");
        verify_second().expect("two of three");
    }
}
