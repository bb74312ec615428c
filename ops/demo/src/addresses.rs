//! Where the nodes of a tree answer, printed for somebody who wants to explore it.

use std::path::Path;

use anyhow::Context as _;
use kho_local_tree::LocalTree;

use crate::plan::{CENTRE, PROVINCE};

/// Prints every node's address and some commands to try.
///
/// # Errors
/// When the folder of the tree has a name that can't be printed.
pub fn print_addresses(tree: &LocalTree) -> anyhow::Result<()> {
    println!("\nWhere the nodes answer (HTTPS):");
    for site in &tree.plan().sites {
        println!("  {:<10} {:<28} {}", site.tier.to_string(), site.name, tree.urls(site.site).join(" "));
    }
    let operator = tree.identity_dir("operator");
    println!("\nTo explore while it runs:");
    println!("  export KHO_IDENTITY={}", path_text(&operator)?);
    println!("  kho status --node {}", tree.url(CENTRE, tree.nodes(CENTRE)[0]));
    println!("  kho query births --by sex --from 2019-01 --to 2019-03 --level district --node {}", tree.url(CENTRE, tree.nodes(CENTRE)[0]));
    println!("  kho query list --node {}", tree.url(PROVINCE, tree.nodes(PROVINCE)[0]));
    Ok(())
}

/// A path as an argument of a command.
///
/// # Errors
/// When it is not UTF-8.
pub fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not a valid UTF-8 path", path.display()))
}
