//! A register for people: sites in the order of the tree, and what stands out.

use std::collections::{BTreeMap, BTreeSet};

use kho_storage::{
    ids::SiteId,
    register::{Register, RootSet, SiteEntry},
};

use crate::commands::print::{self, number};

/// Tables of sites and origins.
pub fn text(register: &Register) -> String {
    let mut sites = print::table(&["site", "name", "tier", "parents", "areas", "addresses", "nodes"]);
    for (depth, site) in in_tree_order(register) {
        let areas: Vec<String> = site.areas.iter().map(|area| format!("{}/{}", area.catalogue, area.code)).collect();
        let parents: Vec<String> = site.parents.iter().map(ToString::to_string).collect();
        let nodes: Vec<String> = site
            .nodes
            .iter()
            .map(|node| {
                format!(
                    "{}{}: {}…",
                    node.node,
                    if node.revoked.is_empty() { "" } else { " (revoked)" },
                    node.signing_key.to_hex().chars().take(16).collect::<String>()
                )
            })
            .collect();
        sites.add_row([
            number(site.site),
            format!("{}{}", "  ".repeat(depth), site.name).into(),
            site.tier.into(),
            parents.join(", ").into(),
            areas.join(", ").into(),
            site.addresses.join("\n").into(),
            if nodes.is_empty() { "none yet".into() } else { nodes.join("\n").into() },
        ]);
    }
    let mut origins: BTreeMap<SiteId, Vec<String>> = BTreeMap::new();
    for entry in &register.origins {
        origins.entry(entry.author).or_default().push(entry.origin.to_string());
    }
    let mut authors = print::table(&["author", "origins"]);
    for (site, origins) in origins {
        authors.add_row([number(site), origins.join(", ").into()]);
    }
    let mut revoked = print::table(&["revoked identity", "certificates issued before"]);
    for entry in &register.revoked_identities {
        revoked.add_row([entry.identity.clone(), entry.issued_before.to_rfc3339()]);
    }
    let roots: String = register.roots.iter().map(roots_line).collect();
    let revoked = if register.revoked_identities.is_empty() { String::new() } else { format!("\n{revoked}") };
    format!(
        "tree {}, version {}, {} sites, {} origins\n{sites}\n{authors}{revoked}{roots}",
        register.tree,
        register.version,
        register.sites.len(),
        register.origins.len()
    )
}

fn roots_line(set: &RootSet) -> String {
    let keys: Vec<String> = set.keys.iter().map(|key| format!("{}…", key.to_hex().chars().take(16).collect::<String>())).collect();
    format!("\nthe next register is signed by {} of {}: {}", set.threshold, keys.len(), keys.join(", "))
}

/// Every site below its active parent, with its depth. Sites whose parent is missing come last, at depth 0.
fn in_tree_order(register: &Register) -> Vec<(usize, &SiteEntry)> {
    let mut children: BTreeMap<Option<SiteId>, Vec<&SiteEntry>> = BTreeMap::new();
    for site in &register.sites {
        children.entry(site.parents.first().copied()).or_default().push(site);
    }
    let (mut ordered, mut seen) = (Vec::new(), BTreeSet::new());
    let mut open: Vec<(usize, &SiteEntry)> = children.get(&None).into_iter().flatten().rev().map(|site| (0, *site)).collect();
    while let Some((depth, site)) = open.pop() {
        if seen.insert(site.site) {
            ordered.push((depth, site));
            open.extend(children.get(&Some(site.site)).into_iter().flatten().rev().map(|child| (depth + 1, *child)));
        }
    }
    ordered.extend(register.sites.iter().filter(|site| !seen.contains(&site.site)).map(|site| (0, site)));
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::register::draft;

    #[test]
    fn sites_are_shown_below_their_parents_and_none_is_left_out() {
        let site = |id: u32, tier: &str, parents: &str| {
            format!("[[sites]]\nsite = {id}\nname = \"s{id}\"\ntier = \"{tier}\"\nparents = [{parents}]\n")
        };
        let draft = [
            "tree = \"vn\"\nversion = 1\n".to_owned(),
            site(5, "district", "3"),
            site(1, "central", ""),
            site(3, "province", "1"),
            site(4, "province", "1"),
            site(9, "district", "8"),
        ]
        .concat();
        let register = draft::read(&draft).expect("reads");
        let order: Vec<_> = in_tree_order(&register).iter().map(|(depth, site)| (*depth, site.site.0)).collect();
        assert_eq!(order, [(0, 1), (1, 3), (2, 5), (1, 4), (0, 9)]);
        assert!(text(&register).contains("    s5"));
    }
}
