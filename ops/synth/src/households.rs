//! From a commune's age and sex list to its households.
//!
//! Invariant: every draft is in exactly one household, and each household has exactly one head, who comes first
//! (tests: `everybody_is_in_exactly_one_household`, `families_are_plausible`).

use crate::couples::{Pool, marry};
use crate::draws::Draws;
use crate::nuclei::{Nuclei, Nucleus};
use crate::resident::{Draft, DraftNo, HouseholdDraft, HouseholdKind, Marital, Member, Relation, Sex};

/// Persons in dormitories, care homes and pagodas, per thousand.
const COLLECTIVE_PER_MILLE: u32 = 4;
const COLLECTIVE_SIZE: (u32, u32) = (6, 40);
/// Households of couples that the wife heads, per thousand.
const WIFE_HEADS_PER_MILLE: u32 = 220;

/// Fits all drafts into households, in no particular order of age.
pub(super) fn compose(drafts: &[Draft], draws: &mut Draws) -> Vec<HouseholdDraft> {
    let mut pool = Pool::of(drafts);
    let mut households = collectives(drafts.len(), &mut pool, draws);
    let couples = marry(&mut pool, draws);
    let families = Nuclei::form(drafts, couples, pool.into_rest(), draws);
    for nucleus in families.nuclei.iter().filter(|nucleus| !nucleus.is_merged) {
        households.push(Assembly::of(&families, nucleus, draws));
    }
    draws.shuffle(&mut households);
    households
}

fn collectives(persons: usize, pool: &mut Pool, draws: &mut Draws) -> Vec<HouseholdDraft> {
    // Rounded by chance: a commune is mostly too small for one, a province is not.
    let size_mean = (COLLECTIVE_SIZE.0 + COLLECTIVE_SIZE.1) / 2;
    let expected_per_mille = persons as u32 * COLLECTIVE_PER_MILLE / size_mean;
    let wanted = expected_per_mille / 1000 + u32::from(draws.chance(expected_per_mille % 1000));
    let mut households = Vec::new();
    for _ in 0..wanted {
        let size = (draws.between(COLLECTIVE_SIZE.0, COLLECTIVE_SIZE.1) as usize).min(persons / 4);
        let (youngest, oldest) = if draws.chance(800) { (18, 26) } else { (66, 92) };
        let mut members: Vec<Member> = Vec::with_capacity(size);
        for _ in 0..size {
            let sex = if draws.chance(500) { Sex::Male } else { Sex::Female };
            let Some(draft) = pool.take(sex, draws.between(youngest, oldest) as i16) else {
                continue;
            };
            let relation = if members.is_empty() { Relation::Head } else { Relation::Other };
            let lineage = members.len() as u8;
            members.push(Member { draft, relation, marital: Marital::Single, lineage, mother: None, spouse: None });
        }
        if !members.is_empty() {
            households.push(HouseholdDraft { kind: HouseholdKind::Collective, members });
        }
    }
    households
}

/// Puts one nucleus' people in order and relates them to the head.
struct Assembly<'a> {
    families: &'a Nuclei<'a>,
    members: Vec<Member>,
    lineages: u8,
}

impl<'a> Assembly<'a> {
    fn of(families: &'a Nuclei<'a>, nucleus: &Nucleus, draws: &mut Draws) -> HouseholdDraft {
        let mut assembly = Self { families, members: Vec::new(), lineages: 1 };
        let (mother, child_lineage) = assembly.push_heads(nucleus, draws);
        assembly.push_children(&nucleus.children, Relation::Child, child_lineage, mother);
        if let Some(guest) = nucleus.guest.and_then(|no| families.nuclei.get(no as usize)) {
            assembly.push_guests(guest, child_lineage, mother);
        }
        for parent in &nucleus.parents {
            // A father passes his surname on to the man of the house, or to the woman who heads it alone.
            let passes_on = families.drafts[*parent as usize].sex == Sex::Male;
            let lineage = if passes_on { child_lineage } else { assembly.new_lineage() };
            assembly.push(*parent, Relation::Parent, lineage, None);
        }
        for other in &nucleus.others {
            let lineage = assembly.new_lineage();
            assembly.push(*other, Relation::Other, lineage, None);
        }
        HouseholdDraft { kind: HouseholdKind::Family, members: assembly.members }
    }

    /// Head and spouse; returns the mother's place and the lineage that children take.
    fn push_heads(&mut self, nucleus: &Nucleus, draws: &mut Draws) -> (Option<u8>, u8) {
        match (nucleus.husband, nucleus.wife) {
            (Some(husband), Some(wife)) => {
                // With his parents in the house the man is the head, so that `parent` means what it says.
                let wife_heads = nucleus.parents.is_empty() && draws.chance(WIFE_HEADS_PER_MILLE);
                let (head, spouse) = if wife_heads { (wife, husband) } else { (husband, wife) };
                self.push(head, Relation::Head, 0, None);
                let lineage = self.new_lineage();
                self.push(spouse, Relation::Spouse, lineage, None);
                self.wed(0, 1);
                if wife_heads { (Some(0), lineage) } else { (Some(1), 0) }
            }
            (Some(head), None) => {
                self.push(head, Relation::Head, 0, None);
                (None, 0)
            }
            (None, wife) => {
                // Invariant: a nucleus has a husband or a wife; without either there would be nothing to write.
                if let Some(head) = wife {
                    self.push(head, Relation::Head, 0, None);
                }
                (Some(0), 0)
            }
        }
    }

    fn push_children(&mut self, children: &[DraftNo], relation: Relation, lineage: u8, mother: Option<u8>) {
        let mut children = children.to_vec();
        children.sort_by_key(|no| (std::cmp::Reverse(self.families.drafts[*no as usize].age), *no));
        for child in children {
            self.push(child, relation, lineage, mother);
        }
    }

    /// A son of the house, his wife and their children.
    fn push_guests(&mut self, guest: &Nucleus, lineage: u8, mother: Option<u8>) {
        let (Some(son), Some(daughter_in_law)) = (guest.husband, guest.wife) else {
            return;
        };
        let place = self.members.len() as u8;
        self.push(son, Relation::Child, lineage, mother);
        let her_lineage = self.new_lineage();
        self.push(daughter_in_law, Relation::AdoptedOrInLaw, her_lineage, None);
        self.wed(place, place + 1);
        self.push_children(&guest.children, Relation::Grandchild, lineage, Some(place + 1));
        for other in guest.others.iter().chain(&guest.parents) {
            let lineage = self.new_lineage();
            self.push(*other, Relation::Other, lineage, None);
        }
    }

    fn push(&mut self, draft: DraftNo, relation: Relation, lineage: u8, mother: Option<u8>) {
        let marital = self.families.marital[draft as usize];
        self.members.push(Member { draft, relation, marital, lineage, mother, spouse: None });
    }

    fn wed(&mut self, one: u8, other: u8) {
        self.members[usize::from(one)].spouse = Some(other);
        self.members[usize::from(other)].spouse = Some(one);
    }

    fn new_lineage(&mut self) -> u8 {
        self.lineages += 1;
        self.lineages - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Stage;
    use crate::structure::AgeSexStructure;

    fn composed(persons: u64) -> (Vec<Draft>, Vec<HouseholdDraft>) {
        let structure = AgeSexStructure::published();
        let draft = |person| {
            let (sex, age) = structure.person(11, person);
            Draft { sex, age }
        };
        let drafts: Vec<Draft> = (0..persons).map(draft).collect();
        let households = compose(&drafts, &mut Draws::new(persons, "test", "00001", Stage::Families));
        (drafts, households)
    }

    #[test]
    fn everybody_is_in_exactly_one_household() {
        for persons in [0, 1, 2, 3, 7, 40, 333, 5_000, 60_000] {
            let (drafts, households) = composed(persons);
            let mut seen = vec![0; drafts.len()];
            for household in &households {
                assert!(!household.members.is_empty() && household.members.len() <= 85);
                let heads = household.members.iter().filter(|m| m.relation == Relation::Head).count();
                assert_eq!((heads, household.members[0].relation), (1, Relation::Head));
                for member in &household.members {
                    seen[member.draft as usize] += 1;
                }
            }
            assert!(seen.iter().all(|times| *times == 1), "{persons} persons");
        }
    }

    #[test]
    fn families_are_plausible() {
        let (drafts, households) = composed(60_000);
        let age = |member: &Member| i16::from(drafts[member.draft as usize].age);
        for household in households.iter().filter(|household| household.kind == HouseholdKind::Family) {
            let head = &household.members[0];
            for member in &household.members {
                match member.relation {
                    Relation::Child => assert!(age(head) >= age(member) + 16),
                    Relation::Grandchild => assert!(age(head) >= age(member) + 32),
                    Relation::Parent => assert!(age(member) >= age(head) + 16),
                    Relation::Spouse => {
                        assert!((age(head) - age(member)).abs() <= 20 && age(member) >= 16);
                    }
                    _ => {}
                }
                if let Some(mother) = member.mother {
                    let gap = age(&household.members[usize::from(mother)]) - age(member);
                    assert!((16..=47).contains(&gap), "a mother {gap} years older");
                }
                assert_eq!(member.spouse.is_some(), member.marital == Marital::Married);
            }
        }
        let mean = 60_000.0 / households.len() as f64;
        assert!((3.4..3.8).contains(&mean), "mean household size {mean}");
        let all = households.iter().flat_map(|household| &household.members);
        let others = all.clone().filter(|member| member.relation == Relation::Other).count();
        assert!(others < 60_000 / 15, "{others} unrelated persons");
        let heads_under_18 = all.filter(|member| member.relation == Relation::Head && age(member) < 18).count();
        assert!(heads_under_18 < 30, "{heads_under_18} heads under 18");
    }
}
