//! `kho register`: the list of sites, tiers, origins, parents and pinned keys, from a commented text to a signed file to the
//! tree.
//!
//! ```text
//! new ─► register.toml ◄─ add-node node.json, revoke, rotate-key   draft.rs reads it, skeleton.toml is how it starts
//!             │ the operator edits, and raises `version`
//!             ▼
//!           issue (register key, at the centre) ─► register.signed.toml ─► apply ─► a node of the centre ─► downward
//! ```
//! Invariants: what is signed was checked whole (`Register::check`); adding a node changes nothing else of the draft, comments
//! included (test `adding_a_node_keeps_every_other_line_and_changes_nothing_else`), and so does revoking
//! (tests `revoking_keeps_every_other_line_and_changes_nothing_else`,
//! `a_rotation_keeps_every_other_line_and_names_the_old_roots_beside_the_new_until_it_is_finished`); a node that stood in an earlier issue stays
//! (test `an_issue_that_leaves_out_a_node_is_refused_because_its_heads_would_count_no_more`).

mod command;
mod draft;
mod revoke;
mod root_keys;
mod rotate;
mod show;
mod sign;

pub use command::{RegisterCommand, run};
pub use sign::load_signed;
