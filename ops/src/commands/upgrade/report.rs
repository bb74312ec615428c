//! What is known of an upgrade as people read it, in their language.

use comfy_table::Table;
use kho_messages::{Argument, Lang, Reportable as _, text as say};
use kho_node::api::{SupportedLevels, UpgradeReport};

use crate::commands::print::{self, number};

/// The whole report.
pub fn text(report: &UpgradeReport, lang: Lang) -> String {
    let arguments = [
        ("name", Argument::name(&report.site_name)),
        ("site", Argument::name(report.site)),
        ("level", Argument::name(report.level)),
        ("wanted", Argument::name(report.wanted)),
    ];
    let mut parts = vec![say(lang, "upgrade-heading", &arguments), members(report, lang).to_string()];
    if let Some(parent) = &report.parent {
        let arguments = [
            ("site", Argument::name(parent.site)),
            ("level", Argument::name(parent.level)),
            ("supported", Argument::name(range(parent.supported))),
            ("build", Argument::name(&parent.build)),
        ];
        parts.push(say(lang, "upgrade-parent", &arguments));
    }
    if !report.children.is_empty() {
        parts.push(children(report, lang).to_string());
    }
    if let Some(leader) = &report.leader_https {
        let arguments = [("node", Argument::name(report.node)), ("leader", Argument::name(leader))];
        parts.push(say(lang, "upgrade-leader-elsewhere", &arguments));
    }
    parts.extend(report.held_back.iter().map(|held| say(lang, "upgrade-held", &[("why", held.to_message().into())])));
    if report.held_back.is_empty() {
        parts.push(say(lang, "upgrade-nobody", &[]));
    }
    parts.join("\n")
}

fn table(lang: Lang, columns: &[&str]) -> Table {
    let header: Vec<String> = columns.iter().map(|column| say(lang, column, &[])).collect();
    print::table(&header.iter().map(String::as_str).collect::<Vec<_>>())
}

fn members(report: &UpgradeReport, lang: Lang) -> Table {
    let mut table = table(lang, &["upgrade-column-node", "upgrade-column-role", "upgrade-column-build", "upgrade-column-supports"]);
    for member in &report.members {
        let role = say(lang, if member.voter { "upgrade-voter" } else { "upgrade-learner" }, &[]);
        table.add_row([number(member.node), role.into(), known(&member.build, lang).into(), supported(member.supported, lang).into()]);
    }
    table
}

fn children(report: &UpgradeReport, lang: Lang) -> Table {
    let columns =
        ["upgrade-column-child", "upgrade-column-site", "upgrade-column-level", "upgrade-column-build", "upgrade-column-supports"];
    let mut table = table(lang, &columns);
    for child in &report.children {
        let level = child.level.map_or_else(|| say(lang, "upgrade-unknown", &[]), |level| level.to_string());
        let (build, supported) = (known(&child.build, lang), supported(child.supported, lang));
        table.add_row([child.name.as_str().into(), number(child.site), level.into(), build.into(), supported.into()]);
    }
    table
}

fn known(build: &Option<String>, lang: Lang) -> String {
    build.clone().unwrap_or_else(|| say(lang, "upgrade-unknown", &[]))
}

fn supported(levels: Option<SupportedLevels>, lang: Lang) -> String {
    levels.map_or_else(|| say(lang, "upgrade-unknown", &[]), range)
}

fn range(SupportedLevels { min, max }: SupportedLevels) -> String {
    if min == max { min.to_string() } else { format!("{min}-{max}") }
}

#[cfg(test)]
mod tests {
    use kho_node::api::{ChildUpgrade, HeldBack, MemberUpgrade, ParentUpgrade};

    use super::*;

    #[test]
    fn the_report_names_who_holds_the_tree_back_in_both_languages() {
        let newer = SupportedLevels { min: 1, max: 2 };
        let report = UpgradeReport {
            site: 4,
            site_name: "Đồng Nai".into(),
            node: 1,
            level: 1,
            wanted: 2,
            leader_https: None,
            members: vec![
                MemberUpgrade { node: 1, voter: true, supported: Some(newer), build: Some("0.2.0+1d210c1f".into()) },
                MemberUpgrade { node: 2, voter: true, supported: None, build: None },
            ],
            parent: Some(ParentUpgrade { site: 1, level: 1, supported: newer, build: "0.2.1".into() }),
            children: vec![ChildUpgrade {
                site: 9,
                name: "Long Khánh".into(),
                level: Some(1),
                supported: Some(SupportedLevels { min: 1, max: 1 }),
                build: Some("0.1.9".into()),
            }],
            held_back: vec![HeldBack::ChildOlder { site: 9, name: "Long Khánh".into(), supported: "1".into(), wanted: 2 }],
            test_note: None,
        };
        let english = text(&report, Lang::En);
        let parts = [
            "Đồng Nai (site 4) works at level 1",
            "1-2",
            "0.2.0+1d210c1f",
            "not known",
            "parent: site 1 works at level 1, its build 0.2.1 supports level 1-2",
            "0.1.9",
            "holds back: child Long Khánh (site 9) supports level 1, not 2",
        ];
        for part in parts {
            assert!(english.contains(part), "{part}: {english}");
        }
        assert!(text(&report, Lang::Vi).contains("đang cản trở: kho cấp dưới Long Khánh"));
        let held_back_by_nobody = UpgradeReport { held_back: vec![], ..report };
        assert!(text(&held_back_by_nobody, Lang::En).ends_with("nobody holds the tree back"));
    }
}
