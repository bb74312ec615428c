//! A status report as people read it, in their language.

use comfy_table::Table;
use kho_messages::{Argument, Catalogue, Lang, Reportable, catalogue::grouped};
use kho_node::api::{Alarm, Finding, StatusReport, StreamReport};

use crate::commands::print::{self, number};

/// What stands in a cell where nothing is known.
const UNKNOWN: &str = "–";

/// The whole report.
pub fn text(report: &StatusReport, lang: Lang) -> String {
    let words = Words(lang);
    let mut parts = vec![words.heading(report), words.answered(report)];
    parts.extend(report.findings.iter().map(|finding| words.finding(finding)));
    parts.extend(report.alarms.iter().map(|alarm| words.alarm(alarm)));
    parts.push(words.nodes(report));
    parts.push(words.streams(&report.streams));
    parts.push(words.uplink(report));
    if !report.children.is_empty() {
        parts.push(words.children(report));
    }
    parts.push(words.disk(report));
    parts.join("\n")
}

/// The message files in one language.
#[derive(Clone, Copy)]
struct Words(Lang);

impl Words {
    fn say(self, id: &str, arguments: &[(&str, Argument)]) -> String {
        kho_messages::text(self.0, id, arguments)
    }

    fn report(self, kind: &impl Reportable) -> String {
        kho_messages::report(self.0, kind)
    }

    fn table(self, columns: &[&str]) -> Table {
        let header: Vec<String> = columns.iter().map(|column| self.say(column, &[])).collect();
        print::table(&header.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn grouped(self, count: u64) -> String {
        grouped(self.0, count)
    }

    fn bytes(self, count: u64) -> String {
        let size = print::bytes(count);
        match self.0 {
            Lang::En => size,
            Lang::Vi => size.replace('.', ","),
        }
    }

    fn age(self, seconds: u64) -> String {
        let (id, count) = match seconds {
            0..=119 => ("status-seconds", seconds),
            120..=7_199 => ("status-minutes", seconds / 60),
            7_200..=172_799 => ("status-hours", seconds / 3_600),
            _ => ("status-days", seconds / 86_400),
        };
        self.say(id, &[("count", count.into())])
    }

    fn heading(self, report: &StatusReport) -> String {
        // A tier of a newer node may have no text yet; its code is shown then.
        let tier = Catalogue::embedded().text_if_any(self.0, &format!("tier-{}", report.tier), &[]);
        let arguments = [
            ("name", Argument::name(&report.site_name)),
            ("site", Argument::name(report.site)),
            ("tier", tier.unwrap_or_else(|| report.tier.clone()).into()),
            ("tree", Argument::name(&report.tree)),
            ("health", report.health.to_message().into()),
        ];
        self.say("status-heading", &arguments)
    }

    fn answered(self, report: &StatusReport) -> String {
        let arguments = [
            ("node", Argument::name(report.node)),
            ("version", Argument::name(&report.version)),
            ("now", Argument::name(&report.now)),
            ("register", Argument::name(report.register_version)),
        ];
        self.say("status-answered", &arguments)
    }

    fn finding(self, finding: &Finding) -> String {
        let arguments = [("severity", Argument::from(finding.severity().to_message())), ("finding", finding.to_message().into())];
        self.say("status-finding", &arguments)
    }

    fn alarm(self, alarm: &Alarm) -> String {
        let arguments = [
            ("severity", alarm.severity.to_message().into()),
            ("subject", alarm.subject.to_message().into()),
            ("since", Argument::name(&alarm.since)),
            ("alarm", alarm.kind.to_message().into()),
        ];
        self.say("status-alarm", &arguments)
    }

    fn nodes(self, report: &StatusReport) -> String {
        let consensus = &report.consensus;
        let mut table = self.table(&[
            "status-column-node",
            "status-column-role",
            "status-column-quic",
            "status-column-https",
            "status-column-behind-leader",
        ]);
        for node in &consensus.nodes {
            let role = match (consensus.leader == Some(node.node), node.voter) {
                (true, _) => "status-member-leader",
                (false, true) => "status-member-voter",
                (false, false) => "status-member-learner",
            };
            let lag = match (node.silent_seconds, node.lag_entries) {
                (Some(seconds), _) => self.say("status-member-silent", &[("age", self.age(seconds).into())]),
                (None, Some(entries)) => self.grouped(entries),
                (None, None) => UNKNOWN.into(),
            };
            table.add_row([
                number(node.node),
                self.say(role, &[]).into(),
                node.quic_address.as_str().into(),
                node.https_address.as_str().into(),
                number(lag),
            ]);
        }
        let leader = match consensus.leader {
            None => self.say("status-no-leader", &[]),
            Some(leader) => self.say("status-leader", &[("node", Argument::name(leader))]),
        };
        let arguments = [
            ("role", consensus.role.to_message().into()),
            ("leader", leader.into()),
            ("term", Argument::name(consensus.term)),
            ("log", Argument::name(consensus.last_log)),
            ("applied", Argument::name(consensus.applied)),
            ("snapshot", Argument::name(consensus.snapshot)),
        ];
        format!("{}\n{table}", self.say("status-this-node", &arguments))
    }

    fn streams(self, streams: &[StreamReport]) -> String {
        if streams.is_empty() {
            return self.say("status-no-stream", &[]);
        }
        let mut table = self.table(&[
            "status-column-origin",
            "status-column-author",
            "status-column-state",
            "status-column-last-batch",
            "status-column-rows",
            "status-column-complete-up-to",
            "status-column-age",
            "status-column-lag",
            "status-column-kept",
            "status-column-digest",
        ]);
        for stream in streams {
            table.add_row([
                number(stream.origin),
                stream.author_name.as_str().into(),
                self.report(&stream.state).into(),
                number(self.grouped(stream.seq)),
                number(self.grouped(stream.rows)),
                stream.watermark.as_str().into(),
                number(self.age(stream.watermark_age_seconds)),
                number(self.lag(stream)),
                number(format!("{} / {}", self.grouped(stream.kept_batches), self.bytes(stream.kept_bytes))),
                stream.digest.chars().take(12).collect::<String>().into(),
            ]);
        }
        table.to_string()
    }

    /// Batches and seconds that the active parent has not acknowledged.
    fn lag(self, stream: &StreamReport) -> String {
        match (stream.lag_batches, stream.lag_seconds) {
            (None, _) => UNKNOWN.into(),
            (Some(0), _) => "0".into(),
            (Some(batches), None) => self.say("status-lag-batches", &[("batches", batches.into())]),
            (Some(batches), Some(seconds)) => {
                self.say("status-lag-batches-and-age", &[("batches", batches.into()), ("age", self.age(seconds).into())])
            }
        }
    }

    fn uplink(self, report: &StatusReport) -> String {
        let uplink = &report.uplink;
        let id = match (uplink.parent, uplink.stand_in) {
            (None, _) => "status-uplink",
            (Some(_), false) => "status-uplink-parent",
            (Some(_), true) => "status-uplink-stand-in",
        };
        let mut arguments = vec![("state", Argument::from(uplink.state.to_message()))];
        arguments.extend(uplink.parent.map(|parent| ("parent", Argument::name(parent))));
        let mut text = self.say(id, &arguments);
        for parked in &uplink.parked {
            let parked = self.say("status-parked", &[("stream", parked.to_message().into())]);
            text.push_str(&format!("\n  {parked}"));
        }
        text
    }

    fn children(self, report: &StatusReport) -> String {
        let mut table = self.table(&[
            "status-column-child",
            "status-column-site",
            "status-column-node",
            "status-column-connected",
            "status-column-last-heard",
        ]);
        for child in &report.children {
            let connected = if child.connected { "status-yes" } else { "status-no" };
            table.add_row([
                child.name.as_str().into(),
                number(child.site),
                number(child.node),
                self.say(connected, &[]).into(),
                child.last_heard.as_str().into(),
            ]);
        }
        table.to_string()
    }

    fn disk(self, report: &StatusReport) -> String {
        let disk = &report.disk;
        let spaces: Vec<String> = disk.spaces.iter().map(|(name, size)| format!("{name} {}", self.bytes(*size))).collect();
        let arguments = [
            ("free", Argument::from(self.bytes(disk.free_bytes))),
            ("total", self.bytes(disk.total_bytes).into()),
            ("log", self.bytes(disk.log_bytes).into()),
            ("spaces", spaces.join(", ").into()),
        ];
        self.say("status-disk", &arguments)
    }
}

#[cfg(test)]
mod tests {
    use kho_node::api::{
        AlarmKind, ChildStatus, ConsensusReport, DiskStatus, Health, NodeStatus, ParkedReason, ParkedStream, Reason, Role, StreamState,
        UplinkReport, UplinkState,
    };

    use super::*;

    fn report() -> StatusReport {
        let now = || "2019-04-01T00:00:00Z".to_string();
        let alarm = AlarmKind::MemberSilent { node: 2 };
        let node = |node, voter| NodeStatus {
            node,
            voter,
            quic_address: "10.0.0.5:7400".into(),
            https_address: "10.0.0.5:7443".into(),
            lag_entries: Some(1_200),
            silent_seconds: None,
        };
        let silent = NodeStatus { lag_entries: None, silent_seconds: Some(130), ..node(2, true) };
        let child = |site, connected| ChildStatus { site, name: "Tiền Hải".into(), node: 1, connected, last_heard: now() };
        StatusReport {
            tree: "thái-bình".into(),
            site: 3,
            site_name: "Thái Bình".into(),
            tier: "province".into(),
            node: 1,
            version: "0.1.0".into(),
            health: Health::AlarmRaised { alarm: alarm.clone() },
            findings: vec![Finding::EvidenceKept { origin: 9, pieces: 2, first_seq: 7 }],
            alarms: vec![Alarm { severity: alarm.severity(), subject: alarm.about(), kind: alarm, since: now() }],
            now: now(),
            register_version: 4,
            consensus: ConsensusReport {
                role: Role::Leader,
                leader: Some(1),
                term: 5,
                last_log: 1_234,
                applied: 1_234,
                snapshot: 0,
                since_quorum_ms: Some(5),
                nodes: vec![node(1, true), silent, node(3, false)],
            },
            streams: vec![StreamReport {
                origin: 9,
                author: 9,
                author_name: "Thái Thụy".into(),
                state: StreamState::Following,
                epoch: "1-0000000000000007".into(),
                seq: 12_345,
                rows: 36_000,
                digest: "0123456789abcdef".into(),
                watermark: now(),
                watermark_age_seconds: 300,
                lag_batches: Some(1_500),
                lag_seconds: Some(90),
                kept_batches: 10,
                kept_bytes: 1_536,
            }],
            uplink: UplinkReport {
                state: UplinkState::Down { failure: Reason::new("link", "redirect_loop", vec![], "they redirect") },
                parent: Some(1),
                stand_in: true,
                parked: vec![ParkedStream { origin: 9, reason: ParkedReason::ParentAhead { cursor: "1/9".into() } }],
            },
            children: vec![child(9, true), child(10, false)],
            disk: DiskStatus { free_bytes: 1_536, total_bytes: 4_096, spaces: [("rows".to_string(), 512)].into(), log_bytes: 10 },
        }
    }

    #[test]
    fn a_report_is_shown_in_english() {
        let shown = text(&report(), Lang::En);
        for line in [
            "Thái Bình (site 3, province) of tree thái-bình: alarm: node 2 of the site takes no entries; look at it, or replace it with `kho node remove` and `kho node add`",
            "answered by node 1 (khod 0.1.0) at 2019-04-01T00:00:00Z, register version 4",
            "FINDING warning: 2 pieces of evidence are kept of origin 9, the first at batch 7; see `kho fork list`, and once it is examined run `kho fork review 9`",
            "ALARM warning, node 2, since 2019-04-01T00:00:00Z: node 2 of the site takes no entries; look at it, or replace it with `kho node remove` and `kho node add`",
            "this node: leader; leader 1, term 5, log 1234, applied 1234, log snapshot 0",
            "uplink: down: the parent's nodes redirect this site to each other to site 1 (a stand-in)",
            "  parked: origin 9: the parent holds more of it, up to 1/9",
            "disk: 1.5 KiB free of 4.0 KiB; log 10 B; rows 512 B",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
        }
        for word in [
            "behind the leader",
            "unknown, silent for 2 min",
            "1,200",
            "36,000",
            "following",
            "1,500 batches, 90 s",
            "5 min",
            "10 / 1.5 KiB",
            "0123456789ab",
            "last heard",
        ] {
            assert!(shown.contains(word), "{word} is not in\n{shown}");
        }
    }

    #[test]
    fn a_report_is_shown_in_vietnamese() {
        let shown = text(&report(), Lang::Vi);
        for line in [
            "nút 1 (khod 0.1.0) trả lời lúc 2019-04-01T00:00:00Z, sổ đăng ký phiên bản 4",
            "ĐIỂM BẤT THƯỜNG, mức cần chú ý: đang lưu 2 chứng cứ về nguồn 9, chứng cứ đầu tiên ở lô 7; hãy xem bằng lệnh `kho fork list`, và khi đã xem xét xong, hãy chạy `kho fork review 9`",
            "  tạm dừng: nguồn 9: kho cấp trên có nhiều dữ liệu hơn điểm kho này, đến 1/9",
            "đĩa: còn trống 1,5 KiB trên 4,0 KiB; nhật ký 10 B; rows 512 B",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
        }
        for english in ["status-", "leader", "behind", "batches", "site", "following", "warning", "ALARM", "uplink", "child", "yes"] {
            assert!(!shown.contains(english), "{english} is in\n{shown}");
        }
    }
}
