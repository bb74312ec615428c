//! Who holds the tree back: what the members of this site, its parent and its children say of their levels.

use kho_replication::uplink::LinkStatus;
use kho_storage::{
    error::StorageError,
    ids::SiteId,
    level::{Level, LevelOffer, LevelRange},
    register::VerifiedRegister,
};

use crate::{
    api::{ChildUpgrade, HeldBack, MemberUpgrade, ParentUpgrade, SupportedLevels, UpgradeReport},
    consensus::MemberLevels,
    node::Node,
};

/// What is known, before it is judged.
struct Known {
    site: SiteId,
    level: Level,
    members: Vec<MemberLevels>,
    parent: Option<(SiteId, LevelOffer)>,
    /// Children by the register; those that did not greet this node yet without an offer.
    children: Vec<(SiteId, String, Option<LevelOffer>)>,
}

/// How far this site is with an upgrade, and who holds it back. Every member is asked; the parent and the children are known to the
/// leader alone.
///
/// # Errors
/// A fault of the local disk.
pub async fn report(node: &Node) -> Result<UpgradeReport, StorageError> {
    let members = node.consensus.member_levels().await;
    let register = node.warehouse.register();
    let leads = node.leads();
    let (site, level) = (node.site(), node.warehouse.level());
    let known = Known {
        site,
        level,
        members,
        parent: parent(node),
        children: register.as_ref().filter(|_| leads).map_or_else(Vec::new, |register| children(node, register)),
    };
    let wanted = known.wanted();
    let status = node.consensus.status();
    let leader = status.leader.filter(|_| !leads);
    let leader = leader.and_then(|leader| status.members.into_iter().find(|member| member.node == leader));
    Ok(UpgradeReport {
        site: site.0,
        site_name: register.as_ref().and_then(|register| register.site(site)).map(|site| site.name.clone()).unwrap_or_default(),
        node: node.config.node.0,
        level: level.0,
        wanted: wanted.0,
        leader_https: leader.map(|leader| leader.https_address),
        held_back: known.held_back(wanted),
        members: known.members.iter().map(member).collect(),
        parent: known.parent.map(parent_upgrade),
        children: known.children.into_iter().map(child).collect(),
        test_note: node.warehouse.test_note()?,
    })
}

fn parent(node: &Node) -> Option<(SiteId, LevelOffer)> {
    let status = node.uplink.lock().clone()?;
    let LinkStatus::Open { parent_levels, .. } = status.link else { return None };
    Some((status.parent?, parent_levels))
}

fn children(node: &Node, register: &VerifiedRegister) -> Vec<(SiteId, String, Option<LevelOffer>)> {
    let seen = node.children.lock();
    let below = register.register().sites.iter().filter(|entry| register.active_parent(entry.site) == Some(node.site()));
    below.map(|entry| (entry.site, entry.name.clone(), seen.get(&entry.site).and_then(|child| child.levels))).collect()
}

fn levels(range: LevelRange) -> SupportedLevels {
    SupportedLevels { min: range.min.0, max: range.max.0 }
}

fn member(member: &MemberLevels) -> MemberUpgrade {
    MemberUpgrade {
        node: member.node.0,
        voter: member.voter,
        supported: member.supported.as_ref().ok().copied().map(levels),
        build: member.build.map(|build| build.to_string()),
    }
}

fn parent_upgrade((site, offer): (SiteId, LevelOffer)) -> ParentUpgrade {
    ParentUpgrade { site: site.0, level: offer.level.0, supported: levels(offer.supported), build: offer.build.to_string() }
}

fn child((site, name, offer): (SiteId, String, Option<LevelOffer>)) -> ChildUpgrade {
    ChildUpgrade {
        site: site.0,
        name,
        level: offer.map(|offer| offer.level.0),
        supported: offer.map(|offer| levels(offer.supported)),
        build: offer.map(|offer| offer.build.to_string()),
    }
}

impl Known {
    /// The highest level that anybody supports.
    fn wanted(&self) -> Level {
        let members = self.members.iter().filter_map(|member| member.supported.as_ref().ok());
        let offers = self.children.iter().filter_map(|(_, _, offer)| *offer).chain(self.parent.map(|(_, offer)| offer));
        members.map(|range| range.max).chain(offers.map(|offer| offer.supported.max)).fold(self.level, Level::max)
    }

    fn held_back(&self, wanted: Level) -> Vec<HeldBack> {
        let mut held = Vec::new();
        for MemberLevels { node, supported, .. } in &self.members {
            match supported {
                Ok(supported) if supported.holds(wanted) => {}
                Ok(supported) => held.push(HeldBack::NodeOlder { node: node.0, supported: supported.to_string(), wanted: wanted.0 }),
                Err(error) => held.push(HeldBack::NodeSilent { node: node.0, error: error.clone() }),
            }
        }
        match self.parent {
            Some((parent, offer)) if offer.level < wanted => {
                held.push(HeldBack::ParentLower { parent: parent.0, level: offer.level.0, wanted: wanted.0 });
            }
            _ if held.is_empty() && self.level < wanted => {
                held.push(HeldBack::SiteNotRaised { site: self.site.0, level: self.level.0, wanted: wanted.0 });
            }
            _ => {}
        }
        for (site, name, offer) in &self.children {
            let (site, name) = (site.0, name.clone());
            match offer {
                None => held.push(HeldBack::ChildSilent { site, name }),
                Some(offer) if !offer.supported.holds(wanted) => {
                    held.push(HeldBack::ChildOlder { site, name, supported: offer.supported.to_string(), wanted: wanted.0 });
                }
                Some(offer) if offer.level < self.level => {
                    held.push(HeldBack::ChildNotRaised { site, name, level: offer.level.0, wanted: self.level.0 });
                }
                Some(_) => {}
            }
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::{
        ids::NodeId,
        level::{SUPPORTED, SUPPORTED_IN_TESTS},
    };

    use super::*;

    fn member(node: u64, supported: Result<LevelRange, &str>) -> MemberLevels {
        MemberLevels { node: NodeId(node), voter: true, supported: supported.map_err(str::to_owned), build: None }
    }

    fn known(level: Level, members: Vec<MemberLevels>) -> Known {
        Known { site: SiteId(4), level, members, parent: None, children: vec![] }
    }

    fn judged(known: &Known) -> Vec<HeldBack> {
        known.held_back(known.wanted())
    }

    #[test]
    fn a_tree_of_one_level_is_held_back_by_nobody() {
        let offer = LevelOffer::default();
        let quiet = Known {
            parent: Some((SiteId(1), offer)),
            children: vec![(SiteId(9), "nine".into(), Some(offer))],
            ..known(Level::FOUNDING, vec![member(1, Ok(SUPPORTED))])
        };
        assert_eq!(judged(&quiet), []);
    }

    #[test]
    fn who_holds_the_tree_back_is_named_members_parent_site_and_children() {
        let (newer, raised) = (
            LevelOffer { supported: SUPPORTED_IN_TESTS, ..LevelOffer::default() },
            LevelOffer { supported: SUPPORTED_IN_TESTS, level: Level::TEST, ..LevelOffer::default() },
        );
        let mixed = known(Level::FOUNDING, vec![member(1, Ok(SUPPORTED_IN_TESTS)), member(2, Ok(SUPPORTED)), member(3, Err("it is down"))]);
        let older = HeldBack::NodeOlder { node: 2, supported: "1".into(), wanted: 2 };
        assert_eq!(judged(&mixed), [older, HeldBack::NodeSilent { node: 3, error: "it is down".into() }]);
        let ready = || known(Level::FOUNDING, vec![member(1, Ok(SUPPORTED_IN_TESTS))]);
        assert_eq!(judged(&ready()), [HeldBack::SiteNotRaised { site: 4, level: 1, wanted: 2 }]);
        let below = Known { parent: Some((SiteId(1), newer)), ..ready() };
        assert_eq!(judged(&below), [HeldBack::ParentLower { parent: 1, level: 1, wanted: 2 }]);
        let children = [(5, Some(LevelOffer::default())), (6, Some(newer)), (7, Some(raised)), (8, None)];
        let above = Known {
            children: children.map(|(site, offer)| (SiteId(site), format!("site {site}"), offer)).into(),
            ..known(Level::TEST, vec![member(1, Ok(SUPPORTED_IN_TESTS))])
        };
        let name = |site: u32| format!("site {site}");
        assert_eq!(
            judged(&above),
            [
                HeldBack::ChildOlder { site: 5, name: name(5), supported: "1".into(), wanted: 2 },
                HeldBack::ChildNotRaised { site: 6, name: name(6), level: 1, wanted: 2 },
                HeldBack::ChildSilent { site: 8, name: name(8) },
            ]
        );
    }
}
