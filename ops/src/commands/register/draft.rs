//! The register as a text that people edit: reading it, and adding a node without disturbing anything else.

use kho_storage::{ids::SiteId, register::Register};

use crate::{failure::Failure, pki::NodeCard};

/// How a register starts.
pub fn skeleton(tree: &str) -> String {
    include_str!("skeleton.toml").replace("TREE", tree)
}

/// Reads a draft. Sites without nodes and a register without origins are allowed: they are being set up. Fields that this build does not
/// know are left as they are; `kho register issue` asks about them.
///
/// # Errors
/// Usage, with the line at fault.
pub fn read(text: &str) -> Result<Register, Failure> {
    toml::from_str(text).map_err(|error| {
        Failure::usage(format!("the register's text can't be read: {error}"), "`kho register new` writes one with every field explained")
    })
}

/// The draft with the card's node as the last one of its site. Every other line stays as it is.
///
/// # Errors
/// When the tree, the site or the node does not fit, or the draft is not written in blocks.
pub fn add_node(text: &str, card: &NodeCard) -> Result<String, Failure> {
    let before = read(text)?;
    let after = with_node(before, card)?;
    let at = end_of_site(text, card.site).ok_or_else(|| not_in_blocks(card.site))?;
    let (head, tail) = text.split_at(at);
    let gap = if head.ends_with("\n\n") { "" } else { "\n" };
    let signing_key = toml::Value::try_from(card.public_key()?)
        .map_err(|error| Failure::refused(format!("the card's key can't be written: {error}"), ""))?;
    let written = format!(
        "{head}{gap}[[sites.nodes]]\nnode = {}\nsigning_key = {}\nencryption_key = \"{}\"\n{}{tail}",
        card.node,
        inline(&signing_key),
        card.encryption_public_key.to_hex(),
        if tail.is_empty() || tail.starts_with('\n') { "" } else { "\n" }
    );
    // The text was put together by lines; only what reads back as meant is given out.
    match read(&written) {
        Ok(register) if register == after => Ok(written),
        _ => Err(not_in_blocks(card.site)),
    }
}

fn with_node(mut register: Register, card: &NodeCard) -> Result<Register, Failure> {
    if register.tree != card.tree {
        return Err(Failure::refused(
            format!("the card is of tree `{}`, the register of `{}`", card.tree, register.tree),
            "ask who sent the card",
        ));
    }
    let Some(site) = register.sites.iter_mut().find(|site| site.site == card.site) else {
        return Err(Failure::refused(format!("the register has no site {}", card.site), "add its [[sites]] block first"));
    };
    if site.nodes.iter().any(|node| node.node == card.node) {
        return Err(Failure::refused(
            format!("site {} has a node {} already", card.site, card.node),
            "a node id is never used twice: make the keys again with another --node",
        ));
    }
    site.nodes.push(card.to_entry()?);
    Ok(register)
}

fn not_in_blocks(site: SiteId) -> Failure {
    Failure::refused(
        format!("the place of site {site} in the register's text can't be determined"),
        "write sites as [[sites]] blocks and nodes as [[sites.nodes]] blocks below, as `kho register new` does",
    )
}

/// Where the last line with content of a site's block ends. Comments and empty lines behind it belong to what follows.
fn end_of_site(text: &str, site: SiteId) -> Option<usize> {
    let (mut at, mut inside, mut in_site_itself, mut end) = (0, false, false, None);
    for line in text.split_inclusive('\n') {
        at += line.len();
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.starts_with("[[") || (content.starts_with('[') && content.ends_with(']') && !content.contains('=')) {
            in_site_itself = content == "[[sites]]";
            if inside && (in_site_itself || !content.starts_with("[[sites.")) {
                return end;
            }
        } else if in_site_itself
            && content.split_once('=').is_some_and(|(name, value)| name.trim() == "site" && value.trim() == site.to_string())
        {
            inside = true;
        }
        if inside && !content.is_empty() {
            end = Some(at);
        }
    }
    end.filter(|_| inside)
}

/// A key as `{ algorithm = "…", bytes = "…" }`.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            format!("{{ {} }}", table.iter().map(|(name, value)| format!("{name} = {}", inline(value))).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::{
        encryption::DecryptionKey,
        ids::{NodeId, Tier},
        signature::{SignatureAlgorithm, SigningKey},
    };

    use super::*;

    fn card(site: u32, node: u64) -> NodeCard {
        let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let reading = DecryptionKey::generate().expect("system randomness");
        NodeCard::new("vn", SiteId(site), NodeId(node), &key.public_key(), reading.public_key())
    }

    const DRAFT: &str = "tree = \"vn\"\nversion = 3 # raised\n\n[[sites]]\nsite = 1\nname = \"Centre\"\ntier = \"central\"\n\n# The district.\n[[sites]]\nsite = 34 # four\nname = \"[[sites]]\"\ntier = \"district\"\nparents = [1]\n\n# Origins.\n[[origins]]\norigin = 34\nauthor = 34\n";

    #[test]
    fn the_skeleton_is_a_register_and_explains_every_field() {
        let text = skeleton("vn");
        let register = read(&text).expect("reads");
        assert_eq!((register.tree.as_str(), register.version, register.sites[0].tier), ("vn", 1, Tier::Central));
        register.check().expect("whole");
        for field in [
            "tree",
            "version",
            "requires",
            "threshold",
            "keys",
            "site",
            "name",
            "tier",
            "parents",
            "areas",
            "addresses",
            "node",
            "signing_key",
            "encryption_key",
            "revoked",
            "identity",
            "issued_before",
            "origin",
            "author",
        ] {
            assert!(text.contains(&format!("{field} = ")), "{field}");
        }
    }

    #[test]
    fn the_examples_in_the_skeleton_s_comments_are_true() {
        let shown: String = skeleton("vn")
            .lines()
            .map(|line| line.strip_prefix("#   ").unwrap_or(line))
            .filter(|line| !line.starts_with("areas = []"))
            .map(|line| format!("{line}\n"))
            .collect();
        let card = card(1, 1);
        let key = card.public_key().expect("well formed").to_hex();
        let register = read(&shown.replace("04…", &key).replace("5f…", &card.encryption_public_key.to_hex())).expect("reads");
        assert_eq!((register.sites.len(), register.sites[0].nodes.len(), register.origins.len()), (2, 1, 1));
        assert_eq!((register.sites[0].nodes[0].revoked.len(), register.revoked_identities.len()), (1, 1));
        assert_eq!(register.roots.len(), 1);
    }

    #[test]
    fn adding_a_node_keeps_every_other_line_and_changes_nothing_else() {
        let mut text = DRAFT.to_owned();
        let cards = [card(34, 1), card(1, 1), card(34, 2)];
        for card in &cards {
            let before: Vec<String> = text.lines().map(str::to_owned).collect();
            text = add_node(&text, card).expect("fits");
            let mut rest = text.lines();
            assert!(before.iter().filter(|line| !line.is_empty()).all(|line| rest.any(|after| after == line)), "{text}");
        }
        let register = read(&text).expect("reads");
        let nodes: Vec<Vec<u64>> = register.sites.iter().map(|site| site.nodes.iter().map(|node| node.node.0).collect()).collect();
        assert_eq!(nodes, [vec![1], vec![1, 2]]);
        assert_eq!(register.sites[1].nodes[1], cards[2].to_entry().expect("well formed"));
        assert!(text.find("# The district.") > text.find("[[sites.nodes]]"), "comments stay with what they stand above: {text}");
        let skeleton = add_node(&skeleton("vn"), &card(1, 1)).expect("fits");
        assert_eq!(read(&skeleton).expect("reads").sites[0].nodes.len(), 1);
    }

    #[test]
    fn a_card_that_does_not_fit_is_refused() {
        let with_one = add_node(DRAFT, &card(34, 1)).expect("fits");
        let foreign = NodeCard { tree: "test".into(), ..card(34, 2) };
        for (text, card, why) in [(&with_one, card(34, 1), "already"), (&with_one, card(35, 1), "no site 35"), (&with_one, foreign, "tree")]
        {
            let refused = add_node(text, &card).expect_err("does not fit");
            assert!(refused.message.contains(why), "{refused}");
        }
        let inline = "tree = \"vn\"\nversion = 1\nsites = [{ site = 1, name = \"a\", tier = \"central\" }]\n";
        assert!(add_node(inline, &card(1, 1)).expect_err("no blocks").hint.contains("[[sites.nodes]]"));
    }
}
