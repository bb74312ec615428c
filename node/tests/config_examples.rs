//! The examples in `config-examples/` are what an operator copies: they are read as khod reads them, and explain every field.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    path::{Path, PathBuf},
};

use kho_node::config::{LimitsConfig, LogConfig, NodeConfig};
use kho_storage::{
    register::Register,
    schema::{POPULATION_TOML, Schema},
};

const TIERS: [&str; 5] = ["commune", "district", "province", "region", "central"];
/// Files that configure no node.
const OTHERS: [&str; 2] = ["register.toml", "population-schema.toml"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config-examples")
}

fn text_of(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A field as an example gives it.
struct Field {
    /// Table and name, as in `limits.cache_mib`.
    name: String,
    /// The comment lines right above, without `#`.
    comment: String,
}

/// Every `key = value` line with the comment above it.
fn fields(text: &str) -> Vec<Field> {
    let (mut table, mut comment, mut found) = (String::new(), Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix('#') {
            comment.push(said.trim());
            continue;
        }
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_string();
        } else if let Some((key, _)) = line.split_once(" = ") {
            let name = if table.is_empty() { key.to_string() } else { format!("{table}.{key}") };
            found.push(Field { name, comment: comment.join(" ") });
        }
        comment.clear();
    }
    found
}

fn assert_explained(file: &str, field: &Field) {
    for word in ["Default:", "Unit:", "Consequence:"] {
        assert!(field.comment.contains(word), "{file}: the comment above `{}` does not say `{word}`", field.name);
    }
}

/// The names of a value's fields, nested ones as `outer.inner`, read from its debug form. So a field that is added to the
/// configuration is missed here until the examples explain it.
fn field_names(value: &impl Debug) -> BTreeSet<String> {
    let (mut path, mut names) = (Vec::<String>::new(), BTreeSet::new());
    for line in format!("{value:#?}").lines() {
        let depth = (line.len() - line.trim_start().len()) / 4;
        let Some((name, _)) = line.trim_start().split_once(": ") else { continue };
        path.truncate(depth.saturating_sub(1));
        path.push(name.into());
        names.insert(path.join("."));
    }
    // A table is no field of its own.
    names.iter().filter(|name| !names.iter().any(|other| other.starts_with(&format!("{name}.")))).cloned().collect()
}

/// A flat value's fields with what stands in them.
fn defaults(table: &str, value: &impl Debug) -> BTreeMap<String, String> {
    let text = format!("{value:#?}");
    let pairs = text.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(": "));
    pairs.map(|(name, value)| (format!("{table}.{name}"), value.trim_matches('"').to_lowercase())).collect()
}

#[test]
fn every_tier_s_example_is_a_configuration_that_khod_takes() {
    for tier in TIERS {
        NodeConfig::from_toml(&text_of(&format!("{tier}.toml"))).unwrap_or_else(|error| panic!("{tier}.toml: {error}"));
    }
}

#[test]
fn every_toml_file_in_the_folder_is_read_by_a_test() {
    let entries = std::fs::read_dir(folder()).expect("the folder is part of the checkout").map(|entry| entry.expect("readable").path());
    for path in entries.filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_string();
        let known = OTHERS.contains(&name.as_str()) || TIERS.iter().any(|tier| name == format!("{tier}.toml"));
        assert!(known, "{name} is read by no test");
    }
}

#[test]
fn every_field_of_a_configuration_says_default_unit_and_consequence() {
    for tier in TIERS {
        let file = format!("{tier}.toml");
        let text = text_of(&file);
        let given = fields(&text);
        given.iter().for_each(|field| assert_explained(&file, field));
        let config = NodeConfig::from_toml(&text).expect("read above");
        let names: BTreeSet<String> = given.iter().map(|field| field.name.clone()).collect();
        assert_eq!(names, field_names(&config), "{file} does not give exactly the fields that there are");
    }
}

#[test]
fn the_defaults_that_the_comments_name_are_the_defaults() {
    let wanted: BTreeMap<_, _> =
        defaults("limits", &LimitsConfig::default()).into_iter().chain(defaults("log", &LogConfig::default())).collect();
    for tier in TIERS {
        for field in fields(&text_of(&format!("{tier}.toml"))) {
            let Some(default) = wanted.get(&field.name) else { continue };
            let said = field.comment.split("Default: ").nth(1).and_then(|rest| rest.split(". ").next()).unwrap_or_default();
            assert_eq!(said.trim_matches('"').to_lowercase(), *default, "{tier}.toml: `{}`", field.name);
        }
    }
}

#[test]
fn the_example_of_a_register_is_whole_and_explains_every_field_where_it_first_stands() {
    let text = text_of("register.toml");
    // As `kho register issue` reads it: lists that are not given are empty.
    let mut table: toml::Table = toml::from_str(&text).expect("TOML");
    for site in table.get_mut("sites").and_then(toml::Value::as_array_mut).expect("sites").iter_mut().filter_map(toml::Value::as_table_mut)
    {
        site.entry("nodes").or_insert_with(|| toml::Value::Array(Vec::new()));
    }
    let register: Register = table.try_into().expect("a register");
    register.check().expect("a whole register");
    let mut tiers: Vec<_> = register.sites.iter().map(|site| site.tier.to_string()).collect();
    tiers.sort();
    let mut wanted = TIERS.map(String::from).to_vec();
    wanted.sort();
    assert_eq!(tiers, wanted, "the example shows a site of every tier");

    let mut seen = BTreeSet::new();
    for field in fields(&text) {
        if seen.insert(field.name.clone()) {
            assert_explained("register.toml", &field);
        }
    }
    for name in [
        "tree",
        "version",
        "requires",
        "roots.threshold",
        "roots.keys",
        "sites.site",
        "sites.parents",
        "sites.areas",
        "sites.addresses",
        "sites.nodes.signing_key",
        "sites.nodes.encryption_key",
        "sites.nodes.revoked",
        "origins.author",
        "revoked_identities.identity",
        "revoked_identities.issued_before",
    ] {
        assert!(seen.contains(name), "register.toml does not show `{name}`");
    }
}

#[test]
fn the_schema_beside_the_examples_is_the_one_built_in() {
    let text = text_of("population-schema.toml");
    assert!(
        text == POPULATION_TOML,
        "config-examples/population-schema.toml was changed; change storage/src/schema/population.toml instead"
    );
    Schema::from_toml(&text).expect("a schema");
}
