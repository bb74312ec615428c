//! What `kho` does, one folder or file a command. `pki` stands beside this folder.

pub mod audit;
pub mod bundle;
pub mod files;
pub mod import;
pub mod inspect;
pub mod origin;
pub mod print;
pub mod query;
pub mod register;
pub mod site;
pub mod status;
pub mod upgrade;
pub mod verify;
