//! What must hold, and when it is checked.
//!
//! | when | what | where |
//! |---|---|---|
//! | after every entry of every site | cursors, histories, digests, watermarks, records, trimming | [`entry`] |
//! | at the end, at every site | rows, cubes, digests and batches against the ledger | [`replicas`] |
//! | at the end | acknowledged requests, once each | [`requests`] |
//! | at the end | two histories were seen, and neither is lost | [`histories`] |
//! | while healing, until it holds | every site on the path holds the same | [`convergence`] |

pub mod convergence;
pub mod entry;
pub mod histories;
pub mod replicas;
pub mod requests;
