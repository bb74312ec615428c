//! What a test looks at afterwards: the log, and whether two sites hold the same.

use kho_storage::ids::SiteId;

use super::world::World;

impl World {
    /// The log since the last call, as text.
    pub fn trace(&mut self) -> String {
        let lines = std::mem::take(&mut self.log);
        lines.join("\n")
    }

    /// Whether `site` holds exactly what the child holds, batches, rows and time.
    pub fn is_equal_at(&self, site: SiteId) -> Result<(), String> {
        for author in self.held.values() {
            let position = author.position();
            let Some(replica) = self.parents[&site].store.replicas.get(&author.origin) else {
                return Err(format!("site {site} holds nothing of origin {}", author.origin));
            };
            if replica.next() != position.next {
                return Err(format!(
                    "site {site} stands at {} of origin {}, the child at {}",
                    replica.next(),
                    author.origin,
                    position.next
                ));
            }
            let kept = &author.batches[replica.first.0 as usize - 1..position.next.0 as usize - 1];
            if replica.batches != kept || replica.rows != author.rows {
                return Err(format!("site {site} holds other batches or rows of origin {}", author.origin));
            }
            if replica.head_time != position.head_time {
                return Err(format!(
                    "site {site} knows origin {} up to {}, the child up to {}",
                    author.origin, replica.head_time, position.head_time
                ));
            }
        }
        Ok(())
    }
}

/// Compares a log with what was expected, line by line.
#[track_caller]
pub(super) fn assert_trace(world: &mut World, expected: &str) {
    let wanted: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let trace = world.trace();
    let found: Vec<&str> = trace.lines().collect();
    if wanted != found {
        let place = wanted.iter().zip(&found).position(|(a, b)| a != b).unwrap_or(wanted.len().min(found.len()));
        panic!("the log differs from line {} on\n--- wanted\n{}\n--- found\n{}", place + 1, wanted.join("\n"), found.join("\n"));
    }
}
