//! From persons to families: couples and lone heads are the nuclei; children, parents and others join them.
//!
//! ```text
//! pool → couples ──────────────┐
//!      → lone adults → heads ──┴→ nuclei ← children ← merged young couples ← grown children, parents, others
//! ```
//!
//! Every person of the pool ends up in exactly one nucleus. A child is at least sixteen years younger than both
//! parents and at most 47 younger than the mother.

use crate::couples::{Couple, lone_marital};
use crate::draws::Draws;
use crate::resident::{Draft, DraftNo, Marital, Sex};
use crate::structure::AGES;

/// Persons per thousand households, after the 2019 census (3.6 persons a household).
const PERSONS_PER_1000_HOUSEHOLDS: usize = 3600;
/// Young couples that live with parents, per thousand.
const MERGED_PER_MILLE: u32 = 130;
const PARENT_GAP_MIN: u8 = 16;
const MOTHER_GAP_MAX: u8 = 47;
/// Children families wish for: most stop at two, and the first round of placing children keeps to it.
const CHILDREN_WISHED: [usize; 8] = [1, 2, 2, 0, 2, 3, 1, 4];
/// Nobody is added by choice to a household of this size.
const SIZE_WISHED_MAX: u8 = 9;
/// Nobody at all is added to a household of this size: sequence numbers have two digits.
const SIZE_MAX: u8 = 80;
/// Tries per age group before another age is tried.
const TRIES: u32 = 3;

pub(super) type NucleusNo = u32;

/// A family in the making. At least one of husband and wife is there: who is alone stands in the place of their sex.
#[derive(Debug, Default)]
pub(super) struct Nucleus {
    pub(super) husband: Option<DraftNo>,
    pub(super) wife: Option<DraftNo>,
    pub(super) children: Vec<DraftNo>,
    pub(super) parents: Vec<DraftNo>,
    pub(super) others: Vec<DraftNo>,
    /// A younger couple living here, whose husband is a child of this one.
    pub(super) guest: Option<NucleusNo>,
    /// Whether this one lives with another.
    pub(super) is_merged: bool,
    children_wished: usize,
    size: u8,
}

/// All families of a commune and the status of everybody in them.
pub(super) struct Nuclei<'a> {
    pub(super) drafts: &'a [Draft],
    pub(super) nuclei: Vec<Nucleus>,
    pub(super) marital: Vec<Marital>,
    /// Nuclei that may have children, by the mother's age (a lone father's age less two).
    by_mother_age: Vec<Vec<NucleusNo>>,
    /// Nuclei by the age of the husband, or of the lone head.
    by_head_age: Vec<Vec<NucleusNo>>,
}

impl<'a> Nuclei<'a> {
    /// Forms families of all couples and all of `rest`.
    pub(super) fn form(drafts: &'a [Draft], couples: Vec<Couple>, rest: Vec<DraftNo>, draws: &mut Draws) -> Self {
        let mut families = Self {
            drafts,
            nuclei: Vec::with_capacity(drafts.len() / 3),
            marital: vec![Marital::Single; drafts.len()],
            by_mother_age: vec![Vec::new(); AGES],
            by_head_age: vec![Vec::new(); AGES],
        };
        for Couple { husband, wife } in couples {
            families.marital[husband as usize] = Marital::Married;
            families.marital[wife as usize] = Marital::Married;
            families.add_nucleus(Nucleus { husband: Some(husband), wife: Some(wife), size: 2, ..Nucleus::default() });
        }
        let (mut children, mut adults): (Vec<DraftNo>, Vec<DraftNo>) = rest.into_iter().partition(|no| drafts[*no as usize].age < 18);
        for no in &adults {
            families.marital[*no as usize] = lone_marital(drafts[*no as usize], draws);
        }
        draws.shuffle(&mut adults);
        let joining = families.form_lone_heads(adults, draws);
        draws.shuffle(&mut children);
        for child in children {
            families.place_child(child, draws);
        }
        families.merge_young_couples(draws);
        for adult in joining {
            families.place_adult(adult, draws);
        }
        families
    }

    fn draft(&self, no: DraftNo) -> Draft {
        self.drafts[no as usize]
    }

    fn add_nucleus(&mut self, mut nucleus: Nucleus) {
        let no = self.nuclei.len() as NucleusNo;
        // Nuclei are formed by the mother's age, so every age gets every wish.
        nucleus.children_wished = CHILDREN_WISHED[no as usize % CHILDREN_WISHED.len()];
        let age_of = |person: Option<DraftNo>| person.map(|person| self.drafts[person as usize].age);
        let may_have_children = |person: DraftNo| self.marital[person as usize] != Marital::Single;
        let mother_age = match (nucleus.husband, nucleus.wife) {
            (_, Some(wife)) if may_have_children(wife) => age_of(Some(wife)),
            (Some(husband), None) if may_have_children(husband) => age_of(Some(husband)).map(|age| age.saturating_sub(2)),
            _ => None,
        };
        if let Some(age) = mother_age {
            self.by_mother_age[usize::from(age)].push(no);
        }
        if let Some(age) = age_of(nucleus.husband.or(nucleus.wife)) {
            self.by_head_age[usize::from(age)].push(no);
        }
        self.nuclei.push(nucleus);
    }

    fn form_alone(&mut self, person: DraftNo) {
        let (husband, wife) = match self.draft(person).sex {
            Sex::Male => (Some(person), None),
            Sex::Female => (None, Some(person)),
        };
        self.add_nucleus(Nucleus { husband, wife, size: 1, ..Nucleus::default() });
    }

    /// Makes heads of as many lone adults as the wished number of households needs; returns the others.
    fn form_lone_heads(&mut self, adults: Vec<DraftNo>, draws: &mut Draws) -> Vec<DraftNo> {
        let merged = self.nuclei.len() * MERGED_PER_MILLE as usize / 2000;
        let wished = (self.drafts.len() * 1000 / PERSONS_PER_1000_HOUSEHOLDS + merged).saturating_sub(self.nuclei.len());
        let ticket = |families: &Self, no: DraftNo| {
            let readiness = match families.draft(no).age {
                ..22 => 1,
                22..30 => 3,
                30..60 => 6,
                _ => 5,
            };
            readiness * if families.marital[no as usize] == Marital::Single { 2 } else { 4 }
        };
        let tickets: u32 = adults.iter().map(|no| ticket(self, *no)).sum();
        let mut joining = Vec::new();
        for adult in adults {
            let chance = u64::from(ticket(self, adult)) * wished as u64 * 1000 / u64::from(tickets.max(1));
            if draws.chance(chance.min(950) as u32) {
                self.form_alone(adult);
            } else {
                joining.push(adult);
            }
        }
        joining
    }

    /// Whether a person of this age can be a child of the nucleus.
    fn is_parent_of(&self, nucleus: &Nucleus, age: u8) -> bool {
        let parents = [nucleus.husband, nucleus.wife];
        let old_enough = parents.iter().flatten().all(|no| self.draft(*no).age >= age + PARENT_GAP_MIN);
        let young_enough = nucleus.wife.is_none_or(|no| self.draft(no).age <= age + MOTHER_GAP_MAX);
        old_enough && young_enough && nucleus.husband.is_none_or(|no| self.draft(no).age <= age + 60)
    }

    /// A nucleus that could be the parents of somebody of this age and suits: the mother's age at birth is drawn, then
    /// ages further and further from it are tried.
    fn find_parents(&self, age: u8, reach: i16, draws: &mut Draws, suits: impl Fn(&Nucleus) -> bool) -> Option<NucleusNo> {
        let age_at_birth = 17 + draws.below(8) + draws.below(8) + draws.below(8);
        let wished = i16::from(age) + age_at_birth as i16;
        for step in 0..=reach {
            for mother_age in [wished + step, wished - step].into_iter().take(1 + usize::from(step > 0)) {
                let Some(bucket) = usize::try_from(mother_age).ok().and_then(|age| self.by_mother_age.get(age)) else {
                    continue;
                };
                for _ in 0..TRIES.min(bucket.len() as u32) {
                    let no = draws.one_of(bucket)?;
                    let nucleus = &self.nuclei[no as usize];
                    if !nucleus.is_merged && self.is_parent_of(nucleus, age) && suits(nucleus) {
                        return Some(no);
                    }
                }
            }
        }
        None
    }

    fn place_child(&mut self, child: DraftNo, draws: &mut Draws) {
        let age = self.draft(child).age;
        let parents = [(0, 3), (1, 8), (5, 30)].into_iter().find_map(|(beyond_wish, reach)| {
            self.find_parents(age, reach, draws, |nucleus| {
                nucleus.children.len() < nucleus.children_wished + beyond_wish && nucleus.size < SIZE_WISHED_MAX
            })
        });
        match parents {
            Some(no) => self.add(no, |nucleus| nucleus.children.push(child)),
            None => self.place_other(child, draws),
        }
    }

    /// Lets some young couples live with the husband's parents.
    fn merge_young_couples(&mut self, draws: &mut Draws) {
        for no in 0..self.nuclei.len() {
            let young = &self.nuclei[no];
            let (Some(husband), Some(_)) = (young.husband, young.wife) else {
                continue;
            };
            let (age, size) = (self.draft(husband).age, young.size);
            if young.guest.is_some() || !(20..45).contains(&age) || !draws.chance(MERGED_PER_MILLE) {
                continue;
            }
            let host = self.find_parents(age, 12, draws, |host| host.guest.is_none() && host.size + size <= SIZE_WISHED_MAX);
            if let Some(host) = host {
                self.nuclei[no].is_merged = true;
                self.nuclei[host as usize].guest = Some(no as NucleusNo);
                self.nuclei[host as usize].size += size;
            }
        }
    }

    fn place_adult(&mut self, adult: DraftNo, draws: &mut Draws) {
        let Draft { age, .. } = self.draft(adult);
        let as_parent = age >= 60 && draws.chance(900);
        if as_parent && let Some(no) = self.find_grown_child(adult, draws) {
            return self.add(no, |nucleus| nucleus.parents.push(adult));
        }
        if age < 60 && draws.chance(if age < 40 { 930 } else { 600 }) {
            let host = self.find_parents(age, 20, draws, |nucleus| nucleus.children.len() < 6 && nucleus.size < SIZE_WISHED_MAX);
            if let Some(no) = host {
                return self.add(no, |nucleus| nucleus.children.push(adult));
            }
        }
        self.place_other(adult, draws);
    }

    /// A household whose head (or husband) could be this person's child and has no parent of the same sex yet.
    fn find_grown_child(&self, parent: DraftNo, draws: &mut Draws) -> Option<NucleusNo> {
        let Draft { age, sex } = self.draft(parent);
        let wished = age.checked_sub(17 + (draws.below(8) + draws.below(8) + draws.below(8)) as u8)?;
        for head_age in (0..14).flat_map(|step: u8| [wished.saturating_sub(step), wished.saturating_add(step)]) {
            if head_age < 18 || head_age + PARENT_GAP_MIN > age || head_age + MOTHER_GAP_MAX < age {
                continue;
            }
            let bucket = &self.by_head_age[usize::from(head_age)];
            for _ in 0..TRIES.min(bucket.len() as u32) {
                let no = draws.one_of(bucket)?;
                let nucleus = &self.nuclei[no as usize];
                let has_one = nucleus.parents.iter().any(|other| self.draft(*other).sex == sex);
                if !nucleus.is_merged && !has_one && nucleus.size < SIZE_WISHED_MAX {
                    return Some(no);
                }
            }
        }
        None
    }

    /// Lets somebody live with a family unrelated to them, or alone when no family has room.
    fn place_other(&mut self, person: DraftNo, draws: &mut Draws) {
        for size_max in [SIZE_WISHED_MAX, SIZE_WISHED_MAX, SIZE_WISHED_MAX, SIZE_MAX, SIZE_MAX] {
            let no = draws.below(self.nuclei.len() as u32);
            if self.nuclei.get(no as usize).is_some_and(|nucleus| !nucleus.is_merged && nucleus.size < size_max) {
                return self.add(no, |nucleus| nucleus.others.push(person));
            }
        }
        self.form_alone(person);
    }

    fn add(&mut self, no: NucleusNo, join: impl FnOnce(&mut Nucleus)) {
        let nucleus = &mut self.nuclei[no as usize];
        join(nucleus);
        nucleus.size += 1;
    }
}
