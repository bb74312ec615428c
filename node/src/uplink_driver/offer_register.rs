//! A register that a parent handed down, offered to this site.

use std::sync::Arc;

use kho_storage::{
    command::{Command, Outcome, Refusal},
    ids::Hash32,
    register::{RegisterError, SignedRegister},
    warehouse::JudgedRegister,
};

use crate::{api::AlarmKind, consensus::ProposeError, node::Node};

/// Judges a register that a parent handed down, and proposes it when it is newer. An error: the site did not take it now.
pub(super) async fn offer_register(node: &Node, signed: &Arc<SignedRegister>) -> Result<(), ProposeError> {
    let doubled =
        |version: u64, held: Hash32, given: Hash32| AlarmKind::RegisterDoubled { version, held: held.to_hex(), given: given.to_hex() };
    let alarm = match node.judge_register(Arc::clone(signed)).await {
        Ok(JudgedRegister::NotNewer { .. }) => return Ok(()),
        Ok(JudgedRegister::Newer(_)) => {
            let (site_time, pinned) = (node.clock.now(), node.warehouse.register_key().clone());
            match node.consensus.propose(&Command::AdoptRegister { site_time, pinned, signed: (**signed).clone() }).await? {
                Outcome::Refused(Refusal::RegisterDoubled { version, held, given }) => doubled(version, held, given),
                Outcome::Refused(refusal) => AlarmKind::RegisterRefused { error: refusal.to_string() },
                _ => return Ok(()),
            }
        }
        Err(RegisterError::Doubled { version, held, given }) => doubled(version, held, given),
        Err(error) => AlarmKind::RegisterRefused { error: error.to_string() },
    };
    node.alarms.raise(alarm, node.clock.now());
    Ok(())
}
