//! A province that lies: it has the keys and the certificate of a real one, holds its districts' real data, and does with them
//! what no honest site does. This module keeps one sentence true: *what a attack sends is good in everything but the lie*, so
//! that a parent which refuses it has seen the lie and not a clumsy forgery.
//!
//! ```text
//!  folder of a stopped node ──copy──► HonestData ──forge──► Attack ──HostileLink──► the parent ──► Answer ──► is it the Ending that the
//!  (keys, certificate, data)          honest segments   one lie                                        attack must come to?
//! ```
//! Reading order: [`Attack`] (what is done, and what must come of it), [`forge`] (the lies themselves, pure), [`HostileProvince`]
//! (who does them), [`HostileLink`] (how they are told).
//!
//! The node's own folder is only read. A attack leaves nothing behind but what the parent keeps: evidence, alarms, a transfer that
//! was begun. `kho-hostile-province` does attacks by hand against any tree made for tests.

mod attack;
pub mod forge;
mod honest_data;
mod link;
mod province;

pub use attack::{Alarmed, Attack, Ending, Kept};
pub use honest_data::HonestData;
pub use link::{Answer, HostileLink};
pub use province::HostileProvince;
