//! `kho pki`: the tree's root, and certificates by request and signing.
//!
//! ```text
//!  offline machine                 node
//!  kho pki init ─► root.key        kho pki request ─► tls.key, signing.key, encryption.key   never leave the node
//!                  root.crt  ──┐                      tls.csr, node.json ──┐
//!  kho pki sign  ◄─────────────┼───────────────────── tls.csr ─────────────┤
//!        └──────► tls.crt ─────┴─► root.crt, tls.crt                       └─► node.json goes into the register
//! ```
//!
//! Invariant: a private key is written only to a file of mode 0600 in the folder the operator named, and no command here
//! reads one but the root's (`a_private_key_is_readable_by_its_owner_only`). Nothing is ever overwritten.
//!
//! What a certificate may say is decided in `kho_replication::tls`; here are files and words.

mod command;
mod files;
mod folder;
mod node_card;
mod show;

#[cfg(test)]
mod tests;

pub use command::{PkiCommand, now, run};
pub use folder::{
    ENCRYPTION_KEY_FILE, NODE_CARD_FILE, NodeRequest, ROOT_CERTIFICATE_FILE, SIGNING_KEY_FILE, TLS_CERTIFICATE_FILE, TLS_KEY_FILE,
    TLS_REQUEST_FILE,
};
pub use folder::{init_root, load_root, request_node, request_person, sign_file};
pub use node_card::NodeCard;
pub use show::{Shown, show};
