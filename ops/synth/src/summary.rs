//! What was written: `summary.json`, and what `kho synth` prints.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::commune::CommuneCounts;
use crate::plan::{Layout, SynthPlan};
use crate::region::CensusRegion;
use crate::units::Unit;

/// Row counts of a written population. Regions are those of the 2019 census; areas are the folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SynthSummary {
    pub catalogue_version: Catalogue,
    pub seed: u64,
    pub as_of: Date,
    pub event_months: u32,
    pub communes: u64,
    pub persons: u64,
    pub households: u64,
    pub events: u64,
    /// Regions that were written, each with the persons of the 2019 census beside it.
    pub regions: BTreeMap<CensusRegion, RegionSummary>,
    pub areas: Vec<AreaSummary>,
}

/// Row counts of the written part of one census region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RegionSummary {
    pub census_persons: u64,
    pub persons: u64,
    pub households: u64,
    pub events: u64,
}

/// Row counts of one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AreaSummary {
    pub folder: String,
    pub province_code: String,
    pub province: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub district_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    pub communes: u64,
    pub persons: u64,
    pub households: u64,
    pub events: u64,
}

impl SynthSummary {
    pub(super) fn of_plan(plan: &SynthPlan) -> Self {
        Self {
            catalogue_version: plan.catalogue,
            seed: plan.seed,
            as_of: plan.as_of,
            event_months: plan.event_months,
            communes: 0,
            persons: 0,
            households: 0,
            events: 0,
            regions: BTreeMap::new(),
            areas: Vec::new(),
        }
    }

    pub(super) fn begin_area(&mut self, folder: &str, unit: &Unit, layout: Layout) {
        let district = unit.district.clone().filter(|_| layout == Layout::PerDistrict);
        let (district_code, district) = district.unzip();
        self.areas.push(AreaSummary {
            folder: folder.to_owned(),
            province_code: unit.province_code.clone(),
            province: unit.province.clone(),
            district_code,
            district,
            communes: 0,
            persons: 0,
            households: 0,
            events: 0,
        });
    }

    /// Adds a commune to the area begun last.
    pub(super) fn add(&mut self, region: CensusRegion, counts: CommuneCounts) {
        let CommuneCounts { households, persons, events } = counts;
        let of_region = self.regions.entry(region).or_insert(RegionSummary {
            census_persons: region.census_persons(),
            persons: 0,
            households: 0,
            events: 0,
        });
        of_region.persons += persons;
        of_region.households += households;
        of_region.events += events;
        if let Some(area) = self.areas.last_mut() {
            area.communes += 1;
            area.persons += persons;
            area.households += households;
            area.events += events;
        }
        self.communes += 1;
        self.persons += persons;
        self.households += households;
        self.events += events;
    }
}
