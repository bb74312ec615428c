//! Who is married to whom, and the marital status of everybody else.

use crate::draws::{Draws, Lottery};
use crate::resident::{Draft, DraftNo, Marital, Sex};
use crate::structure::AGES;

/// Women married with the spouse present, per thousand: `(youngest age, rate)`. Shaped after the 2019 census.
const MARRIED_WOMEN: [(u8, u32); 16] = [
    (85, 80),
    (80, 180),
    (75, 300),
    (70, 420),
    (65, 560),
    (60, 680),
    (55, 770),
    (50, 830),
    (45, 865),
    (40, 880),
    (35, 885),
    (30, 860),
    (25, 740),
    (20, 400),
    (18, 120),
    (16, 25),
];

/// Husband's age less the wife's.
static AGE_GAP: Lottery<i16> =
    Lottery::new(&[(-2, 4), (-1, 7), (0, 11), (1, 13), (2, 15), (3, 14), (4, 12), (5, 9), (6, 6), (7, 4), (8, 3), (10, 2)]);

const HUSBAND_AGE_MIN: i16 = 18;
/// How far from the wished age a husband is looked for.
const AGE_REACH: i16 = 9;

static YOUNG: Lottery<Marital> =
    Lottery::new(&[(Marital::Single, 970), (Marital::Divorced, 20), (Marital::Separated, 8), (Marital::Widowed, 2)]);
static MIDDLE_MEN: Lottery<Marital> =
    Lottery::new(&[(Marital::Single, 720), (Marital::Divorced, 170), (Marital::Separated, 40), (Marital::Widowed, 70)]);
static MIDDLE_WOMEN: Lottery<Marital> =
    Lottery::new(&[(Marital::Single, 450), (Marital::Divorced, 240), (Marital::Separated, 60), (Marital::Widowed, 250)]);
static OLD_MEN: Lottery<Marital> =
    Lottery::new(&[(Marital::Single, 80), (Marital::Divorced, 90), (Marital::Separated, 20), (Marital::Widowed, 810)]);
static OLD_WOMEN: Lottery<Marital> =
    Lottery::new(&[(Marital::Single, 90), (Marital::Divorced, 40), (Marital::Separated, 10), (Marital::Widowed, 860)]);

/// Persons not yet placed, by sex and age.
pub(super) struct Pool {
    by_sex_and_age: [Vec<Vec<DraftNo>>; 2],
}

impl Pool {
    pub(super) fn of(drafts: &[Draft]) -> Self {
        let mut by_sex_and_age = [vec![Vec::new(); AGES], vec![Vec::new(); AGES]];
        for (no, draft) in drafts.iter().enumerate() {
            by_sex_and_age[usize::from(draft.sex.digit())][usize::from(draft.age)].push(no as DraftNo);
        }
        Self { by_sex_and_age }
    }

    pub(super) fn take(&mut self, sex: Sex, age: i16) -> Option<DraftNo> {
        let ages = &mut self.by_sex_and_age[usize::from(sex.digit())];
        ages.get_mut(usize::try_from(age).ok()?)?.pop()
    }

    /// The person nearest to `age`, not further than `reach` and not younger than `youngest`.
    fn take_near(&mut self, sex: Sex, age: i16, reach: i16, youngest: i16) -> Option<DraftNo> {
        (0..=reach).flat_map(|step| [age + step, age - step]).filter(|age| *age >= youngest).find_map(|age| self.take(sex, age))
    }

    /// Everybody left, by sex and then age.
    pub(super) fn into_rest(self) -> Vec<DraftNo> {
        self.by_sex_and_age.into_iter().flatten().flatten().collect()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Couple {
    pub(super) husband: DraftNo,
    pub(super) wife: DraftNo,
}

/// Takes couples out of the pool, oldest wives first, because old men are scarce.
pub(super) fn marry(pool: &mut Pool, draws: &mut Draws) -> Vec<Couple> {
    let mut couples = Vec::new();
    for age in (0..AGES as i16).rev() {
        let rate = MARRIED_WOMEN.iter().find(|(youngest, _)| age >= i16::from(*youngest)).map_or(0, |entry| entry.1);
        if rate == 0 {
            break;
        }
        let women = std::mem::take(&mut pool.by_sex_and_age[usize::from(Sex::Female.digit())][age as usize]);
        for wife in women {
            let wished = (age + AGE_GAP.draw(draws)).max(HUSBAND_AGE_MIN);
            let husband = if draws.chance(rate) { pool.take_near(Sex::Male, wished, AGE_REACH, HUSBAND_AGE_MIN) } else { None };
            match husband {
                Some(husband) => couples.push(Couple { husband, wife }),
                None => pool.by_sex_and_age[usize::from(Sex::Female.digit())][age as usize].push(wife),
            }
        }
    }
    couples
}

/// The status of somebody who lives without a spouse.
pub(super) fn lone_marital(draft: Draft, draws: &mut Draws) -> Marital {
    match (draft.age, draft.sex) {
        (..18, _) => Marital::Single,
        (18..30, _) => YOUNG.draw(draws),
        (30..60, Sex::Male) => MIDDLE_MEN.draw(draws),
        (30..60, Sex::Female) => MIDDLE_WOMEN.draw(draws),
        (_, Sex::Male) => OLD_MEN.draw(draws),
        (_, Sex::Female) => OLD_WOMEN.draw(draws),
    }
}
