//! Which tree is shown: the centre, a region, a province of three nodes, and some of its districts.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use kho_local_tree::{PlannedSite, TreePlan};
use kho_storage::{
    catalogue::Catalogue,
    ids::{SiteId, Tier},
};

pub const CENTRE: SiteId = SiteId(1);
pub const PROVINCE: SiteId = SiteId(3);
const FIRST_DISTRICT: u32 = 4;

/// What is demonstrated.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Folder of the tree; must not exist.
    #[arg(long, default_value = "local-tree", value_name = "DIR")]
    pub dir: PathBuf,
    /// Province (2 digits) whose real units are used.
    #[arg(long, default_value = "75", value_name = "CODE")]
    pub province: String,
    /// Persons of the province, spread over its districts as in the census.
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    pub persons: u64,
    /// How many of its districts get a site of their own; the rest are entered by the last of these.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=50))]
    pub districts: u32,
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// First port on 127.0.0.1; each node takes two.
    #[arg(long, default_value_t = 7400, value_name = "PORT")]
    pub first_port: u16,
    /// Leave the tree running afterwards.
    #[arg(long)]
    pub leave_running: bool,
}

/// A district site, and the folders of records that it enters.
pub type EnteredFolders = (SiteId, Vec<String>);

/// The tree, and for each district site the folders of records that it enters.
///
/// # Errors
/// When the catalogue has no such province.
pub fn plan(args: &RunArgs) -> anyhow::Result<(TreePlan, Vec<EnteredFolders>)> {
    let catalogue = Catalogue::named("legacy-63").context("the legacy catalogue is built in")?;
    let province: u32 = args.province.parse().with_context(|| format!("`{}` is not a valid province code", args.province))?;
    let Some(name) = catalogue.provinces.get(&province) else { bail!("there is no province {} in the legacy catalogue", args.province) };
    let districts: Vec<(u32, &String)> = catalogue
        .districts
        .iter()
        .filter(|(code, (_, of))| *of == province && catalogue.communes.values().any(|c| c.district == Some(**code)))
        .map(|(code, (name, _))| (*code, name))
        .collect();
    let sites = usize::try_from(args.districts)?.min(districts.len());
    let mut plan = TreePlan {
        tree: "demo".into(),
        sites: vec![
            PlannedSite::new(CENTRE.0, "Trung ương", Tier::Central, &[], 1),
            PlannedSite::new(2, "Vùng", Tier::Region, &[1], 1),
            PlannedSite::new(PROVINCE.0, name, Tier::Province, &[2, 1], 3),
        ],
    };
    let mut folders: Vec<EnteredFolders> = Vec::new();
    for (place, (code, name)) in districts.into_iter().enumerate() {
        let text = format!("{code:03}");
        if place < sites {
            let id = FIRST_DISTRICT + u32::try_from(place)?;
            plan.sites.push(PlannedSite::new(id, name, Tier::District, &[PROVINCE.0, 2], 1).with_area(&text));
            folders.push((SiteId(id), vec![text]));
        } else if let (Some(site), Some((_, entered))) = (plan.sites.last_mut(), folders.last_mut()) {
            *site = site.clone().with_area(&text);
            entered.push(text);
        }
    }
    Ok((plan, folders))
}
