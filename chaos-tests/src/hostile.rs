//! A hostile province. It has the keys and the certificate of a real province and holds the real data of its districts, and it attacks
//! its parent with them. This module keeps one sentence true: *what an attack sends is valid in everything but the attack*. A parent
//! that refuses it has therefore detected the attack, and not some other mistake.
//!
//! ```text
//!  folder of a stopped node ──copy──► HonestData ──forge──► Attack ──HostileLink──► the parent ──► Answer ──► is it the Ending that the
//!  (keys, certificate, data)          honest segments   one forgery                                        attack must come to?
//! ```
//! Reading order: [`Attack`] (the attacks, and the result that each must have), [`forge`] (the forgeries, pure), [`HostileProvince`]
//! (carries attacks out), [`HostileLink`] (sends them).
//!
//! The node's own folder is only read. An attack leaves nothing behind but what the parent keeps: evidence, alarms, and a transfer that
//! was begun. `kho-hostile-province` carries out attacks by hand against any tree that was made for tests.

mod attack;
mod carried;
pub mod forge;
mod honest_data;
mod link;
mod province;

pub use attack::{Alarmed, Attack, Ending, Kept};
pub use carried::bundle_for;
pub use honest_data::HonestData;
pub use link::{Answer, HostileLink};
pub use province::HostileProvince;
