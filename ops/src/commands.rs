//! What `kho` does, one folder or file a command. `synth`, `pki`, `demo` and `bench` stand beside this folder.

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
pub mod verify;
