//! kho: the operator's command line. It keeps one sentence true: *what it could not do, or could not know, it says, in words
//! and in its exit code.*
//!
//! Reading order: [`cli`] (which commands there are), [`failure`] (how they end), [`client`] (how nodes are reached), then
//! the [`commands`]; [`pki`] stands for itself. [`checkout`] hands the commands of a checkout to their programs: the synthetic
//! population, the demonstration and the benchmark are crates beside this one, and begin and end as [`program`] says.

pub mod checkout;
pub mod cli;
pub mod client;
pub mod commands;
pub mod failure;
pub mod help_rules;
pub mod language;
pub mod pki;
pub mod program;
