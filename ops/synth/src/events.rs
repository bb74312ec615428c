//! What happened in a commune in the months before the described day, as the collaborators' slips report it.
//!
//! The events agree with the people: every birth is an infant of the list, a marriage is an existing couple's, an
//! arrival is somebody registered there. The dead and most who left are no longer in the list: their events name a
//! household that exists and a former member of it, with a sequence number from 99 downwards.
//!
//! Counts follow national rates per year, cumulated over the province like ages, so that the rounding of small communes
//! does not lose any.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::calendar::Calendar;
use crate::draws::{Draws, Lottery};
use crate::event::{Concerned, Event, EventKind};
use crate::plan::CommunePlan;
use crate::resident::{DaysBack, Education, Marital, ResidenceStatus, Resident, Sex};

// Per 100,000 persons and year; orders of magnitude of the General Statistics Office's yearly surveys around 2019.
// Births are not here: they are the infants of the list, about 1,600.
const DEATHS: u64 = 610;
const MARRIAGES: u64 = 720;
const DIVORCES: u64 = 30;
const ARRIVALS: u64 = 1_100;
const DEPARTURES: u64 = 1_050;
const CONTRACEPTION_STARTS: u64 = 1_300;
const CONTRACEPTION_STOPS: u64 = 650;
const PREGNANCY_LOSSES: u64 = 420;
const PRENATAL_SCREENINGS: u64 = 800;
const ELDERLY_EXAMS: u64 = 2_500;
const ATTRIBUTE_CHANGES: u64 = 1_500;
/// Of births.
const NEWBORN_SCREENINGS_PER_MILLE: u32 = 450;

const FORMER_SEQ_LAST: u8 = 99;
/// Former members named of one household: they stay clear of those who live there.
const FORMER_MAX: u8 = 10;

static PLACES: Lottery<&str> = Lottery::new(&[
    ("Bệnh viện đa khoa tỉnh", 340),
    ("Trung tâm y tế huyện", 380),
    ("Trạm y tế xã", 180),
    ("Bệnh viện tư nhân", 60),
    ("Tại nhà", 40),
]);
static METHODS: Lottery<&str> = Lottery::new(&[
    ("iud", 420),
    ("pill", 240),
    ("condom", 220),
    ("injection", 40),
    ("implant", 30),
    ("female_sterilisation", 20),
    ("male_sterilisation", 1),
    ("other", 29),
]);
static LOSSES: Lottery<&str> = Lottery::new(&[("miscarriage", 350), ("abortion", 620), ("stillbirth", 30)]);

/// The commune's events, oldest first.
pub(super) fn happen(plan: &CommunePlan, residents: &[Resident], households: u32, calendar: &Calendar, draws: &mut Draws) -> Vec<Event> {
    if calendar.window_days() == 0 || residents.is_empty() {
        return Vec::new();
    }
    let mut chronicle = Chronicle { plan, residents, households, calendar, draws, former: BTreeMap::new(), events: Vec::new() };
    chronicle.births();
    chronicle.reproductive_health();
    chronicle.marriages();
    chronicle.moves_and_deaths();
    chronicle.updates();
    let mut events = chronicle.events;
    events.sort_by_key(|event| Reverse(event.on));
    events
}

struct Chronicle<'a> {
    plan: &'a CommunePlan,
    residents: &'a [Resident],
    households: u32,
    calendar: &'a Calendar,
    draws: &'a mut Draws,
    /// Former members named so far, by household.
    former: BTreeMap<u32, u8>,
    events: Vec<Event>,
}

impl Chronicle<'_> {
    /// Events of the window at this yearly rate: the province's up to and with this commune, less those before it.
    fn count(&self, per_100_000: u64) -> usize {
        let until = |persons: u64| {
            let years_1461 = u128::from(self.calendar.window_days()) * 4;
            u128::from(persons) * u128::from(per_100_000) * years_1461 / (100_000 * 1461)
        };
        (until(self.plan.first_person + self.plan.persons) - until(self.plan.first_person)) as usize
    }

    fn push(&mut self, kind: EventKind, concerned: Concerned, on: DaysBack) {
        let recorded = self.calendar.recorded(on, self.draws);
        self.events.push(Event { kind, concerned, on, recorded });
    }

    fn push_any_day(&mut self, kind: EventKind, concerned: Concerned) {
        let on = self.calendar.event_day(self.draws);
        self.push(kind, concerned, on);
    }

    /// Residents that suit, in random order; each again and again when more events than candidates are wanted.
    fn pick(&mut self, per_100_000: u64, suits: impl Fn(&Resident) -> bool) -> Vec<u32> {
        let wanted = self.count(per_100_000);
        if wanted == 0 {
            return Vec::new();
        }
        let all = 0..self.residents.len() as u32;
        let mut candidates: Vec<u32> = all.filter(|no| suits(&self.residents[*no as usize])).collect();
        self.draws.shuffle(&mut candidates);
        candidates.into_iter().cycle().take(wanted).collect()
    }

    /// Somebody who died or left, in any household.
    fn former_member(&mut self) -> Concerned {
        let start = self.draws.below(self.households);
        let has_room = |household: &u32| self.former.get(household).is_none_or(|named| *named < FORMER_MAX);
        let mut around = (start..self.households).chain(0..start);
        let household = around.find(has_room).unwrap_or(start);
        let named = self.former.entry(household).or_default();
        let seq = FORMER_SEQ_LAST - (*named).min(FORMER_MAX - 1);
        *named = named.saturating_add(1);
        Concerned::Former(household, seq)
    }

    fn births(&mut self) {
        for child in 0..self.residents.len() as u32 {
            let Resident { born, mother, age, .. } = self.residents[child as usize];
            if age > 3 || !self.calendar.is_in_window(born) {
                continue;
            }
            let place = PLACES.draw(self.draws);
            self.push(EventKind::Birth { order: self.birth_order(child), place }, Concerned::Resident(child), born);
            if let Some(mother) = mother {
                self.push(EventKind::Pregnancy { outcome: "live_birth" }, Concerned::Resident(mother), born);
            }
            if self.draws.chance(NEWBORN_SCREENINGS_PER_MILLE) && born.0 > 3 {
                self.push(EventKind::NewbornScreening, Concerned::Resident(child), DaysBack(born.0 - 2));
            }
        }
    }

    /// Counts the mother's children in the household up to this one; children are listed oldest first.
    fn birth_order(&self, child: u32) -> u8 {
        let Resident { mother, household, .. } = self.residents[child as usize];
        let older = self.residents[..child as usize].iter().rev().take_while(|other| other.household == household);
        1 + older.filter(|other| mother.is_some() && other.mother == mother).count() as u8
    }

    fn reproductive_health(&mut self) {
        let is_fertile_wife = |who: &Resident| who.sex == Sex::Female && (18..50).contains(&who.age) && who.marital == Marital::Married;
        for wife in self.pick(CONTRACEPTION_STARTS, is_fertile_wife) {
            let method = METHODS.draw(self.draws);
            let husband = self.residents[wife as usize].spouse.filter(|_| method == "male_sterilisation");
            self.push_any_day(EventKind::ContraceptionStart { method }, Concerned::Resident(husband.unwrap_or(wife)));
        }
        for wife in self.pick(CONTRACEPTION_STOPS, is_fertile_wife) {
            self.push_any_day(EventKind::ContraceptionStop, Concerned::Resident(wife));
        }
        for wife in self.pick(PREGNANCY_LOSSES, is_fertile_wife) {
            let outcome = LOSSES.draw(self.draws);
            self.push_any_day(EventKind::Pregnancy { outcome }, Concerned::Resident(wife));
        }
        for wife in self.pick(PRENATAL_SCREENINGS, |who| is_fertile_wife(who) && who.age < 42) {
            self.push_any_day(EventKind::PrenatalScreening, Concerned::Resident(wife));
        }
    }

    fn marriages(&mut self) {
        let mut is_mother = vec![false; self.residents.len()];
        for mother in self.residents.iter().filter_map(|resident| resident.mother) {
            is_mother[mother as usize] = true;
        }
        let residents = self.residents;
        let is_recent_wife = |who: &Resident| {
            let itself = who.spouse.and_then(|spouse| residents[spouse as usize].spouse);
            who.sex == Sex::Female && who.age < 38 && itself.is_some_and(|wife| !is_mother[wife as usize])
        };
        for wife in self.pick(MARRIAGES, is_recent_wife) {
            let bride = self.residents[wife as usize];
            let groom_age = bride.spouse.map_or(u8::MAX, |groom| self.residents[groom as usize].age);
            let kind = EventKind::Marriage {
                is_early: bride.age < 18 || groom_age < 20,
                is_consanguineous: self.draws.chance(4),
                had_premarital_exam: self.draws.chance(320),
            };
            self.push_any_day(kind, Concerned::Resident(wife));
        }
        for person in self.pick(DIVORCES, |who| who.marital == Marital::Divorced && who.age < 65) {
            self.push_any_day(EventKind::Divorce, Concerned::Resident(person));
        }
    }

    fn moves_and_deaths(&mut self) {
        let is_arrival = |who: &Resident| who.residence == ResidenceStatus::Temporary && who.age < 60 && who.age > 3;
        // Where nobody is registered as temporary, arrivals have since become permanent.
        let has_temporary = self.residents.iter().any(is_arrival);
        let has_arrived = |who: &Resident| is_arrival(who) || !has_temporary && (18..40).contains(&who.age);
        for person in self.pick(ARRIVALS, has_arrived) {
            self.push_any_day(EventKind::InMigration, Concerned::Resident(person));
        }
        for _ in 0..self.count(DEPARTURES) {
            let left = self.former_member();
            self.push_any_day(EventKind::OutMigration, left);
        }
        for _ in 0..self.count(DEATHS) {
            let dead = self.former_member();
            self.push_any_day(EventKind::Death, dead);
        }
    }

    fn updates(&mut self) {
        for person in self.pick(ELDERLY_EXAMS, |who| who.age >= 63) {
            self.push_any_day(EventKind::ElderlyExam, Concerned::Resident(person));
        }
        for person in self.pick(ATTRIBUTE_CHANGES, |who| who.age >= 15) {
            let kind = attribute_change(&self.residents[person as usize], self.draws);
            self.push_any_day(kind, Concerned::Resident(person));
        }
    }
}

/// A change that led to what the list says now.
fn attribute_change(who: &Resident, draws: &mut Draws) -> EventKind {
    let education_before = match who.education {
        Education::None => None,
        Education::Primary => Some(Education::None),
        Education::LowerSecondary => Some(Education::Primary),
        Education::UpperSecondary => Some(Education::LowerSecondary),
        Education::Vocational | Education::College | Education::University => Some(Education::UpperSecondary),
        Education::Postgraduate => Some(Education::University),
    };
    let marital_before = match who.marital {
        Marital::Single => None,
        Marital::Married => Some(Marital::Single),
        Marital::Separated | Marital::Divorced | Marital::Widowed => Some(Marital::Married),
    };
    match (draws.below(3), education_before, marital_before) {
        (0, Some(old), _) if who.age < 40 => EventKind::AttributeChange { field: "education", old: old.code(), new: who.education.code() },
        (1, _, Some(old)) => EventKind::AttributeChange { field: "marital", old: old.code(), new: who.marital.code() },
        _ => {
            let old = match who.residence {
                ResidenceStatus::Permanent => ResidenceStatus::Temporary,
                ResidenceStatus::Temporary | ResidenceStatus::Absent => ResidenceStatus::Permanent,
            };
            EventKind::AttributeChange { field: "residence_status", old: old.code(), new: who.residence.code() }
        }
    }
}
