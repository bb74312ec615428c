//! What a measurement without a peer came to: some points, each with the same figures.

use kho_ops::commands::print::{self, number};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{figure::Figure, measure::Measure};

/// One of the tables without a goal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observation {
    pub measure: Measure,
    /// What was done, with its size.
    pub what: String,
    pub points: Vec<Point>,
    /// What has to be known to read the figures.
    pub notes: Vec<String>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// What sets this line apart from the others.
    pub at: String,
    #[serde(serialize_with = "by_name")]
    pub figures: Vec<NamedFigure>,
}

/// A figure and its name, in words with `_` between them.
pub type NamedFigure = (&'static str, Figure);

impl Observation {
    /// Title, table and notes.
    pub fn text(&self) -> String {
        // All points have the same figures.
        let names = self.points.first().into_iter().flat_map(|point| &point.figures).map(|(name, _)| name.replace('_', " "));
        let header: Vec<String> = std::iter::once(String::new()).chain(names).collect();
        let mut table = print::table(&header.iter().map(String::as_str).collect::<Vec<_>>());
        for point in &self.points {
            table.add_row(
                std::iter::once(point.at.as_str().into()).chain(point.figures.iter().map(|(_, figure)| number(figure))).collect::<Vec<_>>(),
            );
        }
        let lines = [self.what.clone(), table.to_string()];
        lines.into_iter().chain(self.notes.iter().map(|note| format!("  {note}"))).collect::<Vec<_>>().join("\n")
    }
}

fn by_name<S: Serializer>(figures: &[NamedFigure], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(figures.len()))?;
    for (name, figure) in figures {
        map.serialize_entry(name, figure)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::figure::Unit;

    fn observation() -> Observation {
        let point = |at: &str, seconds| Point {
            at: at.into(),
            figures: vec![("ready_after", Figure::new(seconds, Unit::Seconds)), ("resident", Figure::new(5e7, Unit::Bytes))],
        };
        Observation {
            measure: Measure::Start,
            what: "start, 1,000 rows".into(),
            points: vec![point("after a clean stop", 0.5), point("after kill -9", 2.0)],
            notes: vec!["files were cached".into()],
        }
    }

    #[test]
    fn every_point_is_a_line_with_its_figures_and_the_notes_stand_below() {
        let text = observation().text();
        let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], "start, 1,000 rows");
        assert!(lines.contains(&"ready after resident".into()) && lines.contains(&"after kill -9 2.00 s 50.0 MB".into()), "{text}");
        assert_eq!(lines.last().map(String::as_str), Some("files were cached"));
    }

    #[test]
    fn the_json_has_every_figure_of_every_point_by_name() {
        let value = serde_json::to_value(observation()).expect("JSON");
        assert_eq!((&value["measure"], &value["points"][1]["at"]), (&json!("start"), &json!("after kill -9")));
        assert_eq!(
            value["points"][1]["figures"],
            json!({ "ready_after": { "value": 2.0, "unit": "seconds" }, "resident": { "value": 5e7, "unit": "bytes" } })
        );
    }
}
