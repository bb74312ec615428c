//! What is missing around a node: children from which nothing newer comes, and a second voter that makes nothing safer.

use kho_storage::{
    error::StorageError,
    ids::{OriginId, SiteId, SiteTime},
    warehouse::{OriginState, ReadView},
};

use crate::{api::Finding, consensus::Member};

/// The children of `site` from which nothing newer than `silent_seconds_max` has come. A child counts by the origins that it authors; one
/// that authors none, by all that comes through it and by when this node heard it last (`last_heard`). One of which nothing ever
/// came is not silent: it may be still to be built, and every answer names it as missing.
///
/// # Errors
/// A fault of the local disk.
pub fn still_children(
    reading: &ReadView<'_>,
    site: SiteId,
    last_heard: impl Fn(SiteId) -> Option<SiteTime>,
    silent_seconds_max: u64,
    now: SiteTime,
) -> Result<Vec<Finding>, StorageError> {
    let Some(register) = reading.register() else { return Ok(vec![]) };
    let children: Vec<SiteId> = register.register().sites.iter().map(|entry| entry.site).collect();
    let children: Vec<SiteId> = children.into_iter().filter(|child| register.active_parent(*child) == Some(site)).collect();
    if children.is_empty() {
        return Ok(vec![]);
    }
    // A stopped origin is a finding of its own.
    let moving: Vec<(OriginId, OriginState)> = reading.origins()?.into_iter().filter(|(_, state)| state.stopped.is_none()).collect();
    let newest = |counts: &dyn Fn(OriginId) -> bool| {
        let counted = moving.iter().filter(|(origin, _)| counts(*origin));
        counted.map(|(_, state)| state.watermark).max().filter(|watermark| *watermark > SiteTime(0))
    };
    let still = children.into_iter().filter_map(|child| {
        let own = newest(&|origin| register.author(origin) == Some(child));
        let newest = own.or_else(|| newest(&|origin| register.leads_through(origin, child)).max(last_heard(child)))?;
        let silent_seconds = now.seconds_since(newest);
        (silent_seconds > silent_seconds_max).then(|| Finding::ChildStill { child: child.0, up_to: newest.to_rfc3339(), silent_seconds })
    });
    Ok(still.collect())
}

/// A site of two voters needs both of them: the loss of either stops it.
pub fn two_voters(members: &[Member]) -> Option<Finding> {
    let voters: Vec<u64> = members.iter().filter(|member| member.voter).map(|member| member.node.0).collect();
    let [first, second] = voters[..] else { return None };
    Some(Finding::TwoVoters { first, second })
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::NodeId;

    use super::*;
    use crate::{
        answer::tests::{
            people::{Person, people},
            world::{CENTRE, NOW, World, ago},
        },
        consensus::DiskId,
    };

    const DAY_SECONDS: u64 = 24 * 3_600;

    fn still(world: &World, silent_seconds_max: u64, last_heard: Option<SiteTime>) -> Vec<Finding> {
        let reading = |reading: &ReadView<'_>| still_children(reading, SiteId(CENTRE), |_| last_heard, silent_seconds_max, NOW);
        world.warehouse(CENTRE).read(reading).expect("the disk is well")
    }

    #[test]
    fn promise_9_a_child_from_which_nothing_newer_comes_is_named_with_how_long() {
        let mut world = World::new(&[(11, ("legacy-63", "001")), (12, ("legacy-63", "002"))]);
        assert_eq!(still(&world, 60, None), [], "nothing ever came: it may be still to be built");
        world.write(11, ago(9), people("11-", &["00001"], 1).iter().map(Person::change).collect());
        world.carry(11, ago(2));
        world.carry_nothing(12, NOW);
        let silent = Finding::ChildStill { child: 11, up_to: ago(2).to_rfc3339(), silent_seconds: 2 * DAY_SECONDS };
        assert_eq!(still(&world, 60, Some(NOW)), [silent], "a connection that stands moves no head");
        assert_eq!(still(&world, 2 * DAY_SECONDS, None), []);
        // An idle head is enough.
        world.carry(11, NOW);
        assert_eq!(still(&world, 60, None), []);
        world.restart(CENTRE);
        assert_eq!(still(&world, 60, None), []);
    }

    #[test]
    fn a_site_of_two_voters_is_named_and_one_of_one_or_three_is_not() {
        let member = |node, voter| Member {
            node: NodeId(node),
            quic_address: String::new(),
            https_address: String::new(),
            disk: DiskId(node),
            voter,
        };
        let members = [member(1, true), member(4, true), member(5, true)];
        assert_eq!(two_voters(&members[..2]), Some(Finding::TwoVoters { first: 1, second: 4 }));
        assert_eq!((two_voters(&members[..1]), two_voters(&members)), (None, None));
        assert_eq!(two_voters(&[member(1, true), member(2, false)]), None, "a learner on its way");
    }
}
