//! A province that lies: it has the keys and the certificate of a real one, holds its districts' real data, and does with them
//! what no honest site does. This module keeps one sentence true: *what a deed sends is good in everything but the lie*, so
//! that a parent which refuses it has seen the lie and not a clumsy forgery.
//!
//! ```text
//!  folder of a stopped node ──copy──► Truth ──forge──► Deed ──HostileLine──► the parent ──► Answer ──► is it the Ending that the
//!  (keys, certificate, data)          honest segments   one lie                                        deed must come to?
//! ```
//! Reading order: [`Deed`] (what is done, and what must come of it), [`forge`] (the lies themselves, pure), [`HostileProvince`]
//! (who does them), [`HostileLine`] (how they are told).
//!
//! The node's own folder is only read. A deed leaves nothing behind but what the parent keeps: evidence, alarms, a transfer that
//! was begun. `kho-hostile-province` does deeds by hand against any tree made for tests.

mod deed;
pub mod forge;
mod line;
mod province;
mod truth;

pub use deed::{Alarmed, Deed, Ending, Kept};
pub use line::{Answer, HostileLine};
pub use province::HostileProvince;
pub use truth::Truth;
