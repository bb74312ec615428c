//! From households of drafts to residents: birthdays, education, residence status, ethnicity.

use crate::calendar::Calendar;
use crate::draws::{Draws, Lottery};
use crate::ethnicity::{EthnicMix, Ethnicity};
use crate::region::CensusRegion;
use crate::resident::{DatePrecision, Draft, Education, HouseholdDraft, HouseholdKind, Member, Relation, ResidenceStatus, Resident};

use Education::{College, LowerSecondary, Postgraduate, Primary, University, UpperSecondary, Vocational};

static AT_11: Lottery<Education> = Lottery::new(&[(Primary, 975), (Education::None, 25)]);
static AT_15: Lottery<Education> = Lottery::new(&[(LowerSecondary, 900), (Primary, 85), (Education::None, 15)]);
#[rustfmt::skip]
static AT_18: Lottery<Education> = Lottery::new(&[
    (UpperSecondary, 620), (LowerSecondary, 250), (Primary, 70), (Education::None, 15), (Vocational, 45),
]);
#[rustfmt::skip]
static AT_23: Lottery<Education> = Lottery::new(&[
    (UpperSecondary, 300), (LowerSecondary, 270), (Primary, 110), (Education::None, 25), (Vocational, 70), (College, 70),
    (University, 147), (Postgraduate, 8),
]);
#[rustfmt::skip]
static AT_40: Lottery<Education> = Lottery::new(&[
    (UpperSecondary, 170), (LowerSecondary, 360), (Primary, 240), (Education::None, 60), (Vocational, 55), (College, 30),
    (University, 75), (Postgraduate, 10),
]);
#[rustfmt::skip]
static AT_60: Lottery<Education> = Lottery::new(&[
    (UpperSecondary, 90), (LowerSecondary, 300), (Primary, 380), (Education::None, 150), (Vocational, 40), (College, 10),
    (University, 28), (Postgraduate, 2),
]);

/// Households registered as temporary, per thousand, where few and where many come from elsewhere.
const TEMPORARY_FEW: u32 = 35;
const TEMPORARY_MANY: u32 = 160;
/// Adults away for work or study, per thousand of those who don't head a household.
const ABSENT_PER_MILLE: u32 = 45;
const LINEAGES_MAX: usize = 256;

/// What a commune's people have in common.
pub(super) struct SettlingContext<'a> {
    pub(super) calendar: &'a Calendar,
    pub(super) region: CensusRegion,
    pub(super) mix: &'a EthnicMix,
}

/// The commune's residents in the order of their rows.
pub(super) fn settle(drafts: &[Draft], households: &[HouseholdDraft], context: &SettlingContext<'_>, draws: &mut Draws) -> Vec<Resident> {
    let mut residents = Vec::with_capacity(drafts.len());
    let temporary = if context.region == CensusRegion::Southeast { TEMPORARY_MANY } else { TEMPORARY_FEW };
    for (household, draft) in households.iter().enumerate() {
        let first = residents.len() as u32;
        let is_temporary = draft.kind == HouseholdKind::Collective && draws.chance(600) || draws.chance(temporary);
        let mut lineages = [None; LINEAGES_MAX];
        for (place, member) in draft.members.iter().enumerate() {
            let person = drafts[member.draft as usize];
            let ethnicity = ethnicity_of(member, &mut lineages, context.mix, draws);
            residents.push(Resident {
                household: household as u32,
                seq: place as u8 + 1,
                sex: person.sex,
                age: person.age,
                born: context.calendar.birthday(person.age, draws),
                born_known: precision_at(person.age, draws),
                relation: member.relation,
                marital: member.marital,
                education: education_at(person.age, draws),
                residence: residence_of(member, person.age, is_temporary, draws),
                ethnicity,
                lineage: member.lineage,
                mother: member.mother.map(|place| first + u32::from(place)),
                spouse: member.spouse.map(|place| first + u32::from(place)),
            });
        }
    }
    residents
}

/// One group per lineage; whoever starts a new lineage in a house is mostly of the head's group.
fn ethnicity_of(member: &Member, lineages: &mut [Option<Ethnicity>; LINEAGES_MAX], mix: &EthnicMix, draws: &mut Draws) -> Ethnicity {
    let of_head = lineages[0];
    *lineages[usize::from(member.lineage)].get_or_insert_with(|| match of_head {
        Some(of_head) => mix.draw_spouse(of_head, draws),
        None => mix.draw(draws),
    })
}

fn education_at(age: u8, draws: &mut Draws) -> Education {
    match age {
        ..11 => Education::None,
        11..15 => AT_11.draw(draws),
        15..18 => AT_15.draw(draws),
        18..23 => AT_18.draw(draws),
        23..40 => AT_23.draw(draws),
        40..60 => AT_40.draw(draws),
        _ => AT_60.draw(draws),
    }
}

/// Registers of older people often lack the day, or day and month, of birth.
fn precision_at(age: u8, draws: &mut Draws) -> DatePrecision {
    let (year_only, month_only) = match age {
        ..5 => return DatePrecision::Day,
        5..60 => (0, 3),
        _ => (60, 100),
    };
    match draws.below(1000) {
        ticket if ticket < year_only => DatePrecision::Year,
        ticket if ticket < month_only => DatePrecision::Month,
        _ => DatePrecision::Day,
    }
}

fn residence_of(member: &Member, age: u8, is_temporary: bool, draws: &mut Draws) -> ResidenceStatus {
    let may_be_away = (18..50).contains(&age) && member.relation != Relation::Head;
    match (is_temporary, may_be_away) {
        (true, _) => ResidenceStatus::Temporary,
        (false, true) if draws.chance(ABSENT_PER_MILLE) => ResidenceStatus::Absent,
        _ => ResidenceStatus::Permanent,
    }
}
