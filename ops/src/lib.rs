//! kho: the operator's command line. It keeps one sentence true: *what it could not do, or could not know, it says, in words
//! and in its exit code.*
//!
//! Reading order: [`cli`] (which commands there are), [`failure`] (how they end), [`client`] (how nodes are reached), then
//! the [`commands`]; [`pki`], [`synth`] and [`bench`] stand for themselves.

pub mod bench;
pub mod cli;
pub mod client;
pub mod commands;
pub mod demo;
pub mod failure;
pub mod local_tree;
pub mod pki;
pub mod synth;
