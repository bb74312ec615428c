//! What a leader asks of a command before it appends it. What enters the log is applied by every node of the site, now and after each
//! restart. So nothing enters that a node could not read, or that would stop whoever applies it, be it from a follower or from this
//! node itself.
//!
//! ```text
//! from a follower: bytes ─► read ─┐
//! from this node:  command ───────┴─► may_enter_log ─► a head: agreed by a majority (agreement.rs) ─► log
//! ```
//! Invariant: what is refused here is told to the proposer and changes nothing (tests
//! `what_may_not_enter_the_log_is_refused_to_its_proposer_and_stops_nobody`, `nobody_notes_for_another_node`).

use kho_storage::{
    command::Command,
    command_check::{CommandFault, check_form, read_command},
    ids::NodeId,
};

use super::{peers::wire::COMMAND_BYTES_MAX, types::CommandBytes};

/// Larger commands are read on a thread of their own, so that heartbeats do not wait for it.
const LARGE_COMMAND_BYTES: usize = 64 << 10;

/// Whether `command` may enter the log, as far as its form and its proposer go. Every command passes here before it is appended.
///
/// # Errors
/// [`CommandFault`]; whoever proposed it is at fault.
pub(super) fn may_enter_log(command: &Command, proposer: NodeId) -> Result<(), CommandFault> {
    match command {
        // A leader writes these itself, once it has seen that they hold.
        Command::NoteTurnedBack { .. } | Command::RaiseLevel { .. } => return Err(CommandFault::NotProposable),
        Command::NoteDiverged { node, .. } if *node != proposer => return Err(CommandFault::OfAnotherNode),
        _ => {}
    }
    check_form(command)
}

/// Reads a command that a follower proposes, and checks it.
///
/// # Errors
/// [`CommandFault`].
pub(super) async fn read_proposed(bytes: CommandBytes, proposer: NodeId) -> Result<Command, CommandFault> {
    let size = bytes.as_bytes().len();
    if size > COMMAND_BYTES_MAX {
        return Err(CommandFault::TooLarge { what: "the command".into(), size, max: COMMAND_BYTES_MAX });
    }
    let read = move || {
        let command = read_command(bytes.as_bytes())?;
        may_enter_log(&command, proposer)?;
        Ok(command)
    };
    if size <= LARGE_COMMAND_BYTES {
        return read();
    }
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(CommandFault::Unreadable(error.to_string())))
}

#[cfg(test)]
mod tests {
    use kho_storage::{command::DivergedPlace, ids::SiteTime};

    use super::*;

    #[test]
    fn nobody_notes_for_another_node() {
        let (site_time, place) = (SiteTime(1), DivergedPlace::State { position: 9 });
        let turned_back = Command::NoteTurnedBack { site_time, node: NodeId(2), disk: 22 };
        assert_eq!(may_enter_log(&turned_back, NodeId(2)), Err(CommandFault::NotProposable));
        let diverged = Command::NoteDiverged { site_time, node: NodeId(2), disk: 22, place };
        assert_eq!(may_enter_log(&diverged, NodeId(1)), Err(CommandFault::OfAnotherNode));
        assert_eq!(may_enter_log(&diverged, NodeId(2)), Ok(()));
    }

    #[tokio::test]
    async fn bytes_of_a_peer_that_are_no_command_never_become_one() {
        for bytes in [vec![], vec![1, 255, 255], vec![7; 100 << 10]] {
            let read = read_proposed(CommandBytes::from_wire(bytes), NodeId(2)).await;
            assert!(matches!(read, Err(CommandFault::Unreadable(_))), "{read:?}");
        }
        let long = read_proposed(CommandBytes::from_wire(vec![1; COMMAND_BYTES_MAX + 1]), NodeId(2)).await;
        assert!(matches!(long, Err(CommandFault::TooLarge { .. })), "{long:?}");
        let good = Command::Trim { keep_bytes: 5 };
        assert_eq!(read_proposed(CommandBytes::encode(&good).expect("encodes"), NodeId(2)).await, Ok(good));
    }
}
