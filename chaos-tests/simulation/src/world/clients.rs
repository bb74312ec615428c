//! Entry: requests become commands of the author's site, one by one or in groups. A client repeats a request until it is answered.

use kho_replication::intake::ProposeFailure;
use kho_storage::{
    command::{Command, Outcome, Refusal, RowRefusal, WriteOutcome},
    ids::{OriginId, SiteId},
};

use super::World;
use crate::{
    agenda::{Event, Proposer, RequestNo},
    counts::{Fault, Step},
    ledger::Acknowledged,
    tree,
};

/// Requests that one group holds at most.
const GROUP_MAX: u64 = 3;

impl World {
    /// New requests, and when the next ones come.
    pub(super) fn enter(&mut self) {
        if self.healing {
            return;
        }
        let site = self.dice.pick(&tree::AUTHORS);
        let requests: Vec<RequestNo> = (0..self.dice.between(1, GROUP_MAX)).map(|_| self.clients.submit(site, &mut self.dice)).collect();
        self.hand_in(site, requests);
        let ms = self.dice.between(1, 2 * self.plan.write_interval_ms);
        self.after(ms, Event::Enter);
    }

    pub(super) fn enter_again(&mut self, request: RequestNo) {
        let submitted = &self.clients.submitted[request];
        if submitted.answered {
            return;
        }
        if submitted.proposed > 1 {
            self.counts.fault(Fault::WriteRepeated);
        }
        let site = submitted.site;
        self.hand_in(site, vec![request]);
    }

    fn hand_in(&mut self, site: SiteId, mut requests: Vec<RequestNo>) {
        // A client may submit a request twice; both copies come into one group or into two.
        if self.comes_once_in(12) {
            self.counts.fault(Fault::WriteRepeated);
            requests.push(requests[0]);
        } else if self.comes_once_in(12) {
            self.counts.fault(Fault::WriteRepeated);
            self.hand_in_group(site, requests.clone());
        }
        self.hand_in_group(site, requests);
    }

    fn hand_in_group(&mut self, site: SiteId, requests: Vec<RequestNo>) {
        for request in &requests {
            self.clients.submitted[*request].proposed += 1;
        }
        let bodies = requests.iter().map(|request| self.clients.submitted[*request].request.clone()).collect();
        let command = Command::Write { site_time: self.clock(site), origin: OriginId(site.0), requests: bodies };
        self.propose(site, Proposer::Clients { requests }, &command);
    }

    /// Gives every client of a group the outcome of its request.
    pub(super) fn answer_clients(&mut self, site: SiteId, requests: &[RequestNo], result: Result<Outcome, ProposeFailure>) {
        let outcomes = match result {
            Ok(Outcome::Written(outcomes)) if outcomes.len() == requests.len() => outcomes,
            // They name a column that does not exist yet, or no longer after the site was set back. Nothing was changed.
            Ok(Outcome::Refused(Refusal::AboveLevel { .. })) => {
                requests.iter().for_each(|request| self.clients.submitted[*request].answered = true);
                return;
            }
            Ok(other) => self.violated(format!("a write came to {other:?}")),
            Err(_) => {
                for request in requests {
                    let ms = self.dice.between(200, 2_000);
                    self.after(ms, Event::EnterAgain(*request));
                }
                return;
            }
        };
        for (request, outcome) in requests.iter().zip(outcomes) {
            self.answer_client(site, *request, &outcome);
        }
    }

    fn answer_client(&mut self, site: SiteId, request: RequestNo, outcome: &WriteOutcome) {
        let origin = OriginId(site.0);
        match outcome {
            WriteOutcome::Committed { epoch, seq, repeated, .. } => {
                if *repeated {
                    self.counts.step(Step::RequestRepeated);
                }
                let key = self.clients.submitted[request].request.key.clone();
                if let Err(why) = self.ledger.acknowledge(origin, &key, Acknowledged { epoch: *epoch, seq: *seq }) {
                    self.violated(format!("{}: {why}", tree::name(site)));
                }
            }
            WriteOutcome::RowRefused { why: RowRefusal::Missing, .. } => self.counts.step(Step::RowMissing),
            WriteOutcome::RowRefused { why: RowRefusal::Incomplete { .. }, .. } => self.counts.step(Step::RowIncomplete),
            WriteOutcome::RowRefused { why: RowRefusal::ColumnExcluded { .. }, .. } => self.counts.step(Step::ColumnExcluded),
            WriteOutcome::SetBack => self.counts.step(Step::EntryClosed),
            WriteOutcome::Busy => return self.after(300, Event::EnterAgain(request)),
            WriteOutcome::RequestKeyReused { .. } | WriteOutcome::NotAuthor | WriteOutcome::RowRefused { .. } => {
                self.violated(format!("{}: request {request} came to {outcome:?}", tree::name(site)))
            }
        }
        self.clients.submitted[request].answered = true;
    }
}
