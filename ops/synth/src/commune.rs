//! One commune from its plan to its rows: the unit of work, of memory and of randomness.

use jiff::civil::Date;

use crate::attributes::{SettlingContext, settle};
use crate::calendar::Calendar;
use crate::csv_buffer::{CsvBuffer, digits};
use crate::draws::{Draws, Lottery, Stage, number_of};
use crate::ethnicity::EthnicMix;
use crate::event::{Concerned, Event, EventKind};
use crate::events::happen;
use crate::households::compose;
use crate::names::{middle_and_given, surname};
use crate::pin::{Pin, PinDesk};
use crate::plan::{CommunePlan, SynthPlan};
use crate::region::{CensusRegion, PROVINCES};
use crate::resident::{DatePrecision, Draft, HouseholdDraft, Resident, Sex};
use crate::structure::AgeSexStructure;

pub(super) const HOUSEHOLD_HEADER: &str = "household_id,household_no,household_type,area_no,hamlet,address,\
     commune_code,catalogue_version,collaborator_id\r\n";
pub(super) const PERSON_HEADER: &str = "person_id,household_id,seq,pin,insurance_no,full_name,birth_date,sex,\
     relation,ethnicity,education,marital,residence_status,commune_code,catalogue_version\r\n";
pub(super) const EVENT_HEADER: &str = "event_id,type,household_id,person_id,event_date,recorded_at,recorder,\
     commune_code,catalogue_version,sex,birth_order,mother_birth_date,place,marriage_flags,method,outcome,field,\
     old_value,new_value\r\n";

const HOUSEHOLDS_PER_HAMLET: u32 = 220;
const HOUSEHOLDS_PER_AREA: u32 = 110;
const HOUSEHOLDS_PER_COLLABORATOR: u32 = 180;

/// Persons without a PIN, per thousand infants and per thousand others.
const INFANTS_WITHOUT_PIN: u32 = 200;
const OTHERS_WITHOUT_PIN: u32 = 4;
/// Newcomers whose birth was registered abroad, per thousand; their PIN begins with a country code.
const BORN_ABROAD_PER_MILLE: u32 = 3;
const COUNTRY_CODES: (u32, u32) = (101, 199);
const INSURED_PER_MILLE: u32 = 920;
/// Coprime to 10^8, so that different persons of a province get different card numbers.
const INSURANCE_STEP: u64 = 48_271_393;

#[rustfmt::skip]
static STREETS: Lottery<&str> = Lottery::new(&[
    ("Trần Hưng Đạo", 10), ("Lê Lợi", 10), ("Nguyễn Huệ", 9), ("Hai Bà Trưng", 9), ("Quang Trung", 9),
    ("Lý Thường Kiệt", 9), ("Nguyễn Trãi", 9), ("Phan Chu Trinh", 7), ("Điện Biên Phủ", 7), ("Hùng Vương", 8),
    ("Ngô Quyền", 7), ("Bà Triệu", 7), ("Phan Đình Phùng", 6), ("Nguyễn Du", 6), ("Lê Hồng Phong", 6), ("30 Tháng 4", 5),
]);

/// What all communes of a run share.
pub(super) struct Workshop {
    seed: u64,
    catalogue_version: &'static str,
    pub(super) calendar: Calendar,
    structure: AgeSexStructure,
    pin_key: u64,
}

/// Rows of one commune, and later of the next, without allocating again.
#[derive(Debug, Default)]
pub(super) struct CommuneRows {
    pub(super) household: CsvBuffer,
    pub(super) person: CsvBuffer,
    pub(super) event: CsvBuffer,
}

/// How many rows a commune came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommuneCounts {
    pub(super) households: u64,
    pub(super) persons: u64,
    pub(super) events: u64,
}

impl Workshop {
    pub(super) fn open(plan: &SynthPlan) -> Result<Self, crate::error::SynthError> {
        Ok(Self {
            seed: plan.seed,
            catalogue_version: plan.catalogue.version(),
            calendar: Calendar::new(plan.as_of, plan.event_months)?,
            structure: AgeSexStructure::published(),
            pin_key: number_of(plan.seed, &["pin"]),
        })
    }

    /// Replaces `rows` by this commune's.
    pub(super) fn write_commune(&self, plan: &CommunePlan, mix: &EthnicMix, rows: &mut CommuneRows) -> CommuneCounts {
        let draws = |stage| Draws::new(self.seed, self.catalogue_version, &plan.unit.commune_code, stage);
        let offset = number_of(self.seed, &["structure", &plan.unit.home_province]);
        let draft = |person| {
            let (sex, age) = self.structure.person(offset, person);
            Draft { sex, age }
        };
        let drafts: Vec<Draft> = (plan.first_person..plan.first_person + plan.persons).map(draft).collect();
        let households = compose(&drafts, &mut draws(Stage::Families));
        let mut people_draws = draws(Stage::People);
        let context = SettlingContext { calendar: &self.calendar, region: plan.region, mix };
        let residents = settle(&drafts, &households, &context, &mut people_draws);
        let events = happen(plan, &residents, households.len() as u32, &self.calendar, &mut draws(Stage::Events));

        let mut scribe = Scribe { workshop: self, plan, rows, draws: people_draws };
        scribe.households(&households);
        scribe.persons(&residents);
        scribe.events(&residents, &events);
        CommuneCounts { households: households.len() as u64, persons: residents.len() as u64, events: events.len() as u64 }
    }
}

/// Writes one commune's rows.
struct Scribe<'a> {
    workshop: &'a Workshop,
    plan: &'a CommunePlan,
    rows: &'a mut CommuneRows,
    draws: Draws,
}

impl Scribe<'_> {
    fn households(&mut self, households: &[HouseholdDraft]) {
        let unit = &self.plan.unit;
        let code = unit.commune_code.as_bytes();
        let hamlet_kind = hamlet_kind(unit.is_urban, self.plan.region);
        let row = &mut self.rows.household;
        row.clear();
        for (place, household) in households.iter().enumerate() {
            let place = place as u32;
            let hamlet = format!("{hamlet_kind} {}", place / HOUSEHOLDS_PER_HAMLET + 1);
            row.plain_parts(&[code, &household_number(place)]);
            row.number(place % HOUSEHOLDS_PER_AREA + 1);
            row.plain(household.kind.code());
            row.plain_parts(&[&digits::<3>(u64::from(place / HOUSEHOLDS_PER_AREA + 1))]);
            row.plain(&hamlet);
            if unit.is_urban {
                let (number, street) = (self.draws.between(1, 320), STREETS.draw(&mut self.draws));
                row.text(&format!("Số {number} đường {street}, {}", unit.commune));
            } else {
                row.text(&format!("{hamlet}, {}", unit.commune));
            }
            row.plain(&unit.commune_code);
            row.plain(self.workshop.catalogue_version);
            row.plain_parts(&[code, b"C", &collaborator_number(place)]);
            row.end_row();
        }
    }

    fn persons(&mut self, residents: &[Resident]) {
        self.rows.person.clear();
        let unit = &self.plan.unit;
        let code = unit.commune_code.as_bytes();
        let home = unit.home_province.parse().unwrap_or(0);
        let latest_year = self.workshop.calendar.as_of().year();
        let mut desk = PinDesk::new(self.workshop.pin_key, self.plan.pins, home, latest_year);
        let mut surnames: Vec<Option<&'static str>> = Vec::new();
        for (place, who) in residents.iter().enumerate() {
            if who.seq == 1 {
                surnames.clear();
            }
            let born = self.workshop.calendar.date(who.born);
            let pin = self.pin(who, born, home, &mut desk);
            let household = household_number(who.household);
            let surname = self.surname(who, &mut surnames);
            let (middle, given) = middle_and_given(who.sex, who.age, &mut self.draws);
            let insured = self.draws.chance(INSURED_PER_MILLE);
            let row = &mut self.rows.person;
            row.plain_parts(&[code, &household, &digits::<2>(u64::from(who.seq))]);
            row.plain_parts(&[code, &household]);
            row.number(u32::from(who.seq));
            row.plain_parts(&[pin.as_ref().map_or(&[], Pin::as_bytes)]);
            if insured {
                let person = self.plan.first_person + place as u64;
                let card = digits::<8>(person.wrapping_mul(INSURANCE_STEP) % 100_000_000);
                let province = unit.home_province.as_bytes();
                row.plain_parts(&[insurance_class(who.age), province, province, &card]);
            } else {
                row.empty();
            }
            row.plain_parts(&[surname.as_bytes(), b" ", middle.as_bytes(), b" ", given.as_bytes()]);
            row.date(born, who.born_known);
            row.plain(who.sex.code());
            row.plain(who.relation.code());
            row.plain(who.ethnicity.code());
            row.plain(who.education.code());
            row.plain(who.marital.code());
            row.plain(who.residence.code());
            row.plain(&unit.commune_code);
            row.plain(self.workshop.catalogue_version);
            row.end_row();
        }
    }

    fn pin(&mut self, who: &Resident, born: Date, home: u16, desk: &mut PinDesk) -> Option<Pin> {
        let without = if who.age == 0 { INFANTS_WITHOUT_PIN } else { OTHERS_WITHOUT_PIN };
        if self.draws.chance(without) {
            return None;
        }
        let is_newcomer = who.age >= 18 && self.draws.chance(self.plan.region.newcomers_per_mille());
        let province = if is_newcomer { self.birth_province() } else { home };
        desk.issue(province, who.sex, born.year()).or_else(|| desk.issue(home, who.sex, born.year()))
    }

    /// Where a newcomer was registered at birth: large provinces send more people.
    fn birth_province(&mut self) -> u16 {
        if self.draws.chance(BORN_ABROAD_PER_MILLE) {
            return self.draws.between(COUNTRY_CODES.0, COUNTRY_CODES.1) as u16;
        }
        let mut ticket = u64::from(self.draws.below(96_208_984));
        for province in &PROVINCES {
            if ticket < province.persons {
                return province.code.parse().unwrap_or(0);
            }
            ticket -= province.persons;
        }
        1
    }

    fn surname(&mut self, who: &Resident, of_lineages: &mut Vec<Option<&'static str>>) -> &'static str {
        let lineage = usize::from(who.lineage);
        if of_lineages.len() <= lineage {
            of_lineages.resize(lineage + 1, None);
        }
        let draws = &mut self.draws;
        let is_southern = self.plan.region.is_southern();
        of_lineages[lineage].get_or_insert_with(|| surname(who.ethnicity, is_southern, draws))
    }

    fn events(&mut self, residents: &[Resident], events: &[Event]) {
        let unit = &self.plan.unit;
        let code = unit.commune_code.as_bytes();
        let calendar = &self.workshop.calendar;
        let row = &mut self.rows.event;
        row.clear();
        for (place, event) in events.iter().enumerate() {
            let (household, seq, resident) = match event.concerned {
                Concerned::Resident(no) => {
                    let who = &residents[no as usize];
                    (who.household, who.seq, Some(who))
                }
                Concerned::Former(household, seq) => (household, seq, None),
            };
            let number = household_number(household);
            row.plain_parts(&[code, b"E", &digits::<7>(place as u64 + 1)]);
            row.plain(event.kind.code());
            row.plain_parts(&[code, &number]);
            row.plain_parts(&[code, &number, &digits::<2>(u64::from(seq))]);
            row.date(calendar.date(event.on), DatePrecision::Day);
            row.date(calendar.date(event.recorded), DatePrecision::Day);
            row.plain_parts(&[code, b"C", &collaborator_number(household)]);
            row.plain(&unit.commune_code);
            row.plain(self.workshop.catalogue_version);
            let mother = resident.and_then(|who| who.mother).map(|no| &residents[no as usize]);
            let mother_born = mother.map(|mother| (calendar.date(mother.born), mother.born_known));
            payload(row, event.kind, resident.map(|who| who.sex), mother_born);
            row.end_row();
        }
    }
}

/// The ten columns after `catalogue_version`.
fn payload(row: &mut CsvBuffer, kind: EventKind, sex: Option<Sex>, mother_born: Option<(Date, DatePrecision)>) {
    let empty = |row: &mut CsvBuffer, columns: usize| (0..columns).for_each(|_| row.empty());
    match kind {
        EventKind::Birth { order, place } => {
            row.plain(sex.map_or("", Sex::code));
            row.number(u32::from(order));
            match mother_born {
                Some((born, known)) => row.date(born, known),
                None => row.empty(),
            }
            row.text(place);
            empty(row, 6);
        }
        EventKind::Marriage { is_early, is_consanguineous, had_premarital_exam } => {
            let flags = [(is_early, "early"), (is_consanguineous, "consanguineous"), (had_premarital_exam, "premarital_exam")];
            let set: Vec<&str> = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).collect();
            empty(row, 4);
            row.plain(&set.join("|"));
            empty(row, 5);
        }
        EventKind::ContraceptionStart { method } => {
            empty(row, 5);
            row.plain(method);
            empty(row, 4);
        }
        EventKind::Pregnancy { outcome } => {
            empty(row, 6);
            row.plain(outcome);
            empty(row, 3);
        }
        EventKind::AttributeChange { field, old, new } => {
            empty(row, 7);
            row.plain(field);
            row.plain(old);
            row.plain(new);
        }
        _ => empty(row, 10),
    }
}

fn household_number(place: u32) -> [u8; 6] {
    digits(u64::from(place) + 1)
}

fn collaborator_number(household: u32) -> [u8; 4] {
    digits(u64::from(household / HOUSEHOLDS_PER_COLLABORATOR) + 1)
}

fn hamlet_kind(is_urban: bool, region: CensusRegion) -> &'static str {
    match (is_urban, region) {
        (true, _) if region.is_southern() => "Khu phố",
        (true, _) => "Tổ dân phố",
        (false, CensusRegion::Southeast | CensusRegion::Mekong) => "Ấp",
        (false, CensusRegion::CentralHighlands) => "Buôn",
        (false, CensusRegion::NorthernMidlands) => "Bản",
        (false, _) => "Thôn",
    }
}

/// The first three characters of a health insurance card: group and benefit level.
fn insurance_class(age: u8) -> &'static [u8] {
    match age {
        ..6 => b"TE1",
        6..22 => b"HS4",
        22..60 => b"GD4",
        60..80 => b"HT3",
        _ => b"BT2",
    }
}
