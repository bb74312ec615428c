//! Who signs registers, in a register's text: naming new roots beside those of now, then alone. Every other line stays as it is.

use kho_storage::{register::RootSet, signature::PublicKey};

use super::draft;
use crate::failure::Failure;

/// A step from one set of roots to another.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// Either set may sign. `old` is who signs now, when the text does not say so.
    Begin { old: Option<RootSet>, new: RootSet },
    /// The new set alone.
    Finish,
}

/// The draft with the roots that stand after the step, and these.
///
/// # Errors
/// When the step does not fit what the draft names.
pub fn rotate(text: &str, rotation: &Rotation) -> Result<(String, Vec<RootSet>), Failure> {
    let mut after = draft::read(text)?;
    after.roots = match (rotation, after.roots.as_slice()) {
        (Rotation::Begin { old: Some(old), new }, []) => vec![old.clone(), new.clone()],
        (Rotation::Begin { old: None, .. }, []) => {
            return Err(Failure::usage(
                "the register's text does not name who signs now",
                "give that key with --old-key: every node's configuration has it",
            ));
        }
        (Rotation::Begin { old: Some(_), .. }, [_]) => {
            return Err(Failure::usage("the register's text names already who signs now", "leave --old-key out"));
        }
        (Rotation::Begin { old: None, new }, [now]) => vec![now.clone(), new.clone()],
        (Rotation::Begin { .. }, _) => {
            return Err(Failure::refused("a change of the roots is under way: two sets are named", "finish it first, with --finish"));
        }
        (Rotation::Finish, [_, new]) => vec![new.clone()],
        (Rotation::Finish, _) => {
            return Err(Failure::refused("no change of the roots is under way", "begin one with --new-key"));
        }
    };
    after.check().map_err(|error| Failure::refused(error.to_string(), ""))?;
    let written = with_blocks(text, &after.roots);
    // The text was put together by lines; only what reads back as meant is given out.
    match draft::read(&written) {
        Ok(register) if register == after => Ok((written, after.roots)),
        _ => Err(Failure::refused(
            "the place of the roots in the register's text can't be determined",
            "write them as [[roots]] blocks, each with `threshold` and `keys`",
        )),
    }
}

/// The text with these blocks in the place of those that stand, or at its end.
fn with_blocks(text: &str, roots: &[RootSet]) -> String {
    let (mut kept, mut place) = (String::with_capacity(text.len()), None);
    let mut in_block = false;
    // Comments and empty lines below a block belong to what follows.
    let mut pending = String::new();
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        if content.starts_with('[') {
            in_block = content.split('#').next().unwrap_or_default().trim() == "[[roots]]";
            kept.push_str(&std::mem::take(&mut pending));
            if in_block && place.is_none() {
                place = Some(kept.len());
            }
        }
        match (in_block, content.is_empty() || content.starts_with('#')) {
            (false, _) => kept.push_str(line),
            (true, true) if !content.is_empty() || !pending.is_empty() => pending.push_str(line),
            (true, true) => {}
            (true, false) => pending.clear(),
        }
    }
    kept.push_str(&pending);
    let blocks: Vec<String> = roots.iter().map(block).collect();
    match place {
        Some(place) => {
            let (head, tail) = kept.split_at(place);
            let gap = if tail.is_empty() { "" } else { "\n" };
            format!("{head}{}{gap}{tail}", blocks.join("\n"))
        }
        None => {
            let gap = if kept.is_empty() || kept.ends_with('\n') { "" } else { "\n" };
            format!("{kept}{gap}\n{}", blocks.join("\n"))
        }
    }
}

fn block(set: &RootSet) -> String {
    let line = |key: &PublicKey| format!("  {{ algorithm = \"{}\", bytes = \"{}\" }},\n", key.algorithm.name(), key.to_hex());
    format!("[[roots]]\nthreshold = {}\nkeys = [\n{}]\n", set.threshold, set.keys.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use kho_storage::signature::{SignatureAlgorithm, SigningKey};

    use super::*;

    const DRAFT: &str = "tree = \"vn\"\nversion = 3\n\n# The centre.\n[[sites]]\nsite = 1\nname = \"Centre\"\ntier = \"central\"\n\n# Origins.\n[[origins]]\norigin = 1\nauthor = 1\n";

    fn set(threshold: usize, keys: usize) -> RootSet {
        let key = |_| SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness").public_key();
        RootSet { threshold, keys: (0..keys).map(key).collect() }
    }

    #[test]
    fn a_rotation_keeps_every_other_line_and_names_the_old_roots_beside_the_new_until_it_is_finished() {
        let (first, second, third) = (set(1, 1), set(2, 3), set(1, 1));
        let begin = |old: Option<&RootSet>, new: &RootSet| Rotation::Begin { old: old.cloned(), new: new.clone() };
        let mut text = DRAFT.to_owned();
        for (step, named) in [
            (begin(Some(&first), &second), vec![first.clone(), second.clone()]),
            (Rotation::Finish, vec![second.clone()]),
            (begin(None, &third), vec![second, third.clone()]),
            (Rotation::Finish, vec![third]),
        ] {
            let (after, roots) = rotate(&text, &step).expect("fits");
            assert_eq!(roots, named);
            assert_eq!(draft::read(&after).expect("reads").roots, named);
            let mut rest = after.lines();
            assert!(DRAFT.lines().filter(|line| !line.is_empty()).all(|line| rest.any(|after| after == line)), "{after}");
            text = after;
        }
    }

    #[test]
    fn roots_that_stand_in_the_middle_are_replaced_there_with_the_comments_of_what_follows_kept() {
        let (first, second) = (set(1, 1), set(1, 2));
        let middle = DRAFT.replace("# The centre.", &format!("{}\n# The centre.", block(&first)));
        let (text, _) = rotate(&middle, &Rotation::Begin { old: None, new: second }).expect("fits");
        assert!(text.contains("\n\n# The centre.\n[[sites]]\nsite = 1"), "{text}");
        assert!(text.find("[[roots]]") < text.find("# The centre."), "{text}");
        assert_eq!(text.matches("[[roots]]").count(), 2);
    }

    #[test]
    fn a_step_that_does_not_fit_is_refused_and_says_what_to_do() {
        let (first, second) = (set(1, 1), set(1, 1));
        let begin = |old: Option<&RootSet>, new: &RootSet| Rotation::Begin { old: old.cloned(), new: new.clone() };
        assert!(rotate(DRAFT, &begin(None, &second)).expect_err("who signs now?").hint.contains("--old-key"));
        assert!(rotate(DRAFT, &Rotation::Finish).expect_err("nothing began").hint.contains("--new-key"));
        let (both, _) = rotate(DRAFT, &begin(Some(&first), &second)).expect("fits");
        assert!(rotate(&both, &begin(None, &second)).expect_err("under way").hint.contains("--finish"));
        let unreachable = RootSet { threshold: 3, ..second };
        assert!(rotate(DRAFT, &begin(Some(&first), &unreachable)).expect_err("three of one").message.contains("can't sign"));
    }
}
