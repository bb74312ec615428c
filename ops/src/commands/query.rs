//! `kho query`: indicators and rows, with what each answer rests on.

use clap::{Args, Subcommand};
use kho_node::api::{IndicatorAnswer, RowAnswer};
use kho_storage::ids::OriginId;

use super::print;
use crate::{
    client::{ConnectionArgs, IndicatorQuestion},
    failure::{Failure, Verdict},
    language,
};

const EXAMPLES: &str = "\
Examples:
  kho query list
  kho query population --by sex,age_group --area 34 --at 2019-04-01
  kho query population --level district --area 34 --json
  kho query row person p-000123";

/// Query indicators, or a row by its key.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct QueryArgs {
    /// The indicator's name; `kho query list` shows which there are
    #[arg(value_name = "INDICATOR")]
    indicator: Option<String>,

    /// Unit whose subtree is queried: a province, district or commune code [default: everything the site holds]
    #[arg(long, value_name = "CODE")]
    area: Option<String>,

    /// Catalogue that --area and --level belong to
    #[arg(long, value_name = "NAME")]
    catalogue: Option<String>,

    /// One line for each commune, district, province, region, or for the country
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,

    /// Columns to group by, separated by commas
    #[arg(long, value_name = "DIMENSIONS", value_delimiter = ',')]
    by: Vec<String>,

    /// Date at which ages are counted, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    at: Option<String>,

    /// First month of the period, YYYY-MM or YYYY
    #[arg(long, value_name = "MONTH")]
    from: Option<String>,

    /// Last month of the period, included
    #[arg(long, value_name = "MONTH")]
    to: Option<String>,

    #[command(flatten)]
    shared: Shared,

    #[command(subcommand)]
    action: Option<QueryAction>,
}

/// What every question may say.
#[derive(Debug, Clone, Args)]
struct Shared {
    /// linearizable: everything committed before the question; local: what the node holds now
    #[arg(long, value_name = "HOW", value_parser = ["linearizable", "local"], global = true)]
    read: Option<String>,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum QueryAction {
    /// List the indicators and the columns each can be grouped by.
    #[command(after_help = "Example:\n  kho query list --node https://10.0.0.5:7443")]
    List,
    /// Look a row up by its key, across every origin that holds it. Needs a client's certificate with the right to read rows.
    #[command(after_help = "Example:\n  kho query row person p-000123")]
    Row {
        /// household, person or event
        table: String,
        key: String,
    },
    /// Find the key of a row that `kho verify` named by a hash. Needs a client's certificate with the right to read rows.
    #[command(after_help = "Example:\n  kho query hash 0f3a… --origin 340 --token 9c02… --node https://10.0.0.5:7443")]
    Hash {
        /// The hash of the key, as `kho verify --json` gives it
        hash: String,
        /// The origin that was compared
        #[arg(long)]
        origin: OriginId,
        /// The node's token of that comparison, as `kho verify --json` gives it
        #[arg(long)]
        token: String,
    },
}

pub async fn run(args: QueryArgs) -> Result<Verdict, Failure> {
    let client = args.shared.connection.open()?;
    let json = args.shared.json;
    match (args.action, args.indicator) {
        (Some(_), Some(indicator)) => {
            return Err(Failure::usage(
                format!("`{indicator}` stands before another question"),
                "ask one thing at a time; see `kho query --help`",
            ));
        }
        (None, None) => return Err(Failure::usage("no indicator is named", "`kho query list` shows which there are")),
        (Some(QueryAction::List), None) => {
            let indicators = client.indicators().await?;
            if json {
                print::json(&indicators)?;
            } else {
                let mut table = print::table(&["indicator", "meaning", "columns", "--by", "--at", "--from, --to"]);
                let yes = |applies: bool| if applies { "yes" } else { "" };
                for entry in &indicators {
                    let meaning = format!("{}\n{}", entry.label, entry.label_vi);
                    table.add_row([
                        entry.name.as_str(),
                        &meaning,
                        &entry.values.join("\n"),
                        &entry.dimensions.join("\n"),
                        yes(entry.takes_reference_date),
                        yes(entry.takes_period),
                    ]);
                }
                print::line(table)?;
            }
        }
        (Some(QueryAction::Row { table, key }), None) => {
            let answer = client.row(&table, &key, args.shared.read.as_deref()).await?;
            if json {
                print::json(&answer)?;
            } else {
                print::line(row_text(&answer))?;
            }
            if answer.found.is_empty() {
                return Ok(Verdict::Bad);
            }
        }
        (Some(QueryAction::Hash { hash, origin, token }), None) => {
            let named = client.row_of_hash(origin, &hash, &token).await?;
            if json { print::json(&named)? } else { print::line(format!("{} {}", named.table, named.key))? }
        }
        (None, Some(indicator)) => {
            let question = IndicatorQuestion {
                area: args.area,
                catalogue: args.catalogue,
                level: args.level,
                by: args.by,
                at: args.at,
                from: args.from,
                to: args.to,
                read: args.shared.read,
            };
            let answer = client.indicator(&indicator, &question).await?;
            if json { print::json(&answer)? } else { print::line(indicator_text(&answer))? }
        }
    }
    Ok(Verdict::Good)
}

/// The table of an indicator and what it rests on.
pub fn indicator_text(answer: &IndicatorAnswer) -> String {
    let header: Vec<&str> = answer.by.iter().chain(&answer.values).map(String::as_str).collect();
    let mut table = print::table(&header);
    for row in &answer.rows {
        let groups = row.group.iter().map(comfy_table::Cell::new);
        table.add_row(groups.chain(row.values.iter().map(|value| print::number(print::amount(*value)))));
    }
    let at = answer.at.as_deref().map_or_else(String::new, |at| format!(", ages at {at}"));
    format!("{}{at}\n{table}\n{}", answer.label, print::completeness(&answer.completeness, language::current()))
}

fn row_text(answer: &RowAnswer) -> String {
    let mut text = if answer.found.is_empty() { format!("no origin holds {} {:?}\n", answer.table, answer.key) } else { String::new() };
    for found in &answer.found {
        text.push_str(&format!(
            "{} {:?} of {} (origin {}), batch {}, changed {}\n",
            answer.table, answer.key, found.site_name, found.origin, found.seq, found.changed_at
        ));
        let mut table = print::table(&["column", "value"]);
        for (column, value) in &found.columns {
            table.add_row([column, value]);
        }
        text.push_str(&format!("{table}\n"));
    }
    text.push_str(&print::completeness(&answer.completeness, language::current()));
    text
}
