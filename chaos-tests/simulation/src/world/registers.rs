//! Registers on their way from a parent to its child, as `node/src/intake_driver/registers.rs` and
//! `node/src/uplink_driver/fetch_register.rs` carry them: beside the frames of the link, at a pace of their own.

use std::sync::Arc;

use kho_replication::{
    frames::{FrameCodecError, RegisterOffer, RegisterReply},
    uplink::{LinkId, RegisterFetchFailure, UplinkInput},
};
use kho_storage::{
    ids::SiteId,
    register::{RegisterChain, SignedRegister},
    warehouse::JudgedRegister,
};

use super::World;
use crate::{
    agenda::{Event, LinkNo, Proposer, Term},
    counts::{Fault, Step},
};

/// How long an uplink waits for a transfer that went silent.
const SILENCE_MS: u64 = 3_000;
/// A register takes up to so many times as long as a frame.
const FRAMES_LONG_MAX: u64 = 6;

impl World {
    pub(super) fn fetches_register(&mut self, id: SiteId, term: Term, link_id: LinkId, offer: RegisterOffer) {
        let number = self.site(id).leader_in(term).and_then(|leader| leader.links.get(&link_id).copied());
        let Some((number, slow_ms)) = number.and_then(|number| Some((number, self.links.get(&number)?.slow_ms))) else { return };
        let is_silent = self.comes_once_in(self.plan.loss_one_in);
        let ms = if is_silent { SILENCE_MS } else { slow_ms + self.dice.between(2, FRAMES_LONG_MAX * self.plan.latency_ms_max) };
        self.after(ms, Event::RegisterArrives { site: id, term, link: number, link_id, offer, is_silent });
    }

    /// A transfer ends with its link: then the uplink learns of that alone.
    pub(super) fn register_arrives(
        &mut self,
        id: SiteId,
        term: Term,
        number: LinkNo,
        link_id: LinkId,
        offer: RegisterOffer,
        is_silent: bool,
    ) {
        let Some(link) = self.links.get(&number).filter(|link| link.child_receives() && !link.broken && link.intake.is_some()) else {
            return;
        };
        let parent = link.parent;
        let result = if is_silent {
            self.counts.fault(Fault::RegisterSilent);
            Err(RegisterFetchFailure::Interrupted("nothing came".into()))
        } else {
            let (_, chain) = self.registers_of(parent);
            match over_the_wire(&chain, offer) {
                Ok(Some(signed)) => {
                    self.counts.step(Step::RegisterFetched);
                    Ok(Arc::new(signed))
                }
                Ok(None) => Err(RegisterFetchFailure::NotHeld),
                Err(error) => self.violated(format!("a parent's register can't be read: {error}")),
            }
        };
        self.notify_uplink(id, term, UplinkInput::RegisterFetched { link: link_id, offer, result });
    }

    pub(super) fn propose_register(&mut self, id: SiteId, term: Term, signed: Arc<SignedRegister>) {
        match self.site(id).disk.warehouse.judge_register(&signed) {
            Ok(JudgedRegister::Newer(verified)) => {
                self.counts.step(Step::RegisterOffered);
                if verified.version() < self.parents.version() {
                    self.counts.step(Step::RootsCaughtUp);
                }
                let command = self.register_command(id, (*signed).clone());
                self.propose(id, Proposer::Register { term, signed }, &command);
            }
            Ok(JudgedRegister::NotNewer { .. }) => self.notify_uplink(id, term, UplinkInput::RegisterSettled(signed)),
            Err(error) => self.violated(format!("a register was handed down that is refused: {error}")),
        }
    }
}

/// What comes of a request for a register: the bytes of the reply, written and read.
fn over_the_wire(chain: &RegisterChain, offer: RegisterOffer) -> Result<Option<SignedRegister>, FrameCodecError> {
    let reply = match chain.find(offer.hash) {
        Some(signed) => RegisterReply::pack(signed)?,
        None => RegisterReply::NotHeld,
    };
    RegisterReply::decode(&reply.encode()?)?.unpack(offer.hash)
}
