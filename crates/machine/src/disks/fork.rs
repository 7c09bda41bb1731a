//! Growing a project from another one: its disk is a copy of that one's, as it is or was at a checkpoint,
//! prepared beside and put into its place in one step.

use super::{
    Copied,
    room::CREATE_FREE_BYTES_MIN,
    sessions::refused,
    ticket::{awaits_a_bridge, is_to_be_taken_up, write_ticket},
};
use crate::{backend::MachineError, error::step, folders::rand_name, steps, still::Still};
use std::fs;
use toft_model::{
    checkpoint::{CheckpointId, Ticket},
    id::ProjectId,
};

impl dyn Copied {
    /// There already: done. The caller holds both turns; of a checkpoint only the new one's where
    /// copies take no time.
    pub(crate) fn fork(
        &self,
        from: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        to: &ProjectId,
        ticket: &Ticket,
    ) -> Result<(), MachineError> {
        let forking = "forking a project";
        let source = self.at(from, checkpoint)?;
        if self.disk(to).exists() {
            return Ok(());
        }
        self.has_room(forking, CREATE_FREE_BYTES_MIN)?;
        let awaits = match checkpoint {
            Some(_) => awaits_a_bridge(&source),
            None => is_to_be_taken_up(&source, &self.folders.run(from)),
        };
        if awaits.map_err(step(from, forking))? {
            let advice = match checkpoint {
                Some(_) => "fork another checkpoint",
                None => "start it once, then fork it",
            };
            return Err(MachineError::Unable {
                what: forking,
                why: format!(
                    "it had gone back to a checkpoint then, and its conversations were not put \
                     together yet, which its next start does; {advice}"
                ),
            });
        }
        if self.give_ids(to)? {
            steps::reached("fork.slot");
        }
        self.make_log(to)?;
        steps::reached("fork.log");
        let half = self.pool.scratch().join(format!("{to}-{}", rand_name()));
        let still = match checkpoint {
            Some(_) => Still::Stopped,
            None => self.stand_still(from)?,
        };
        let copied = self.pool.storage.copy(&source, &half);
        drop(still);
        copied
            .inspect(|()| steps::reached("fork.copied"))
            .and_then(|()| write_ticket(&half, ticket))
            .inspect(|()| steps::reached("fork.ticket"))
            .and_then(|()| self.pool.storage.settle(&half))
            .inspect(|()| steps::reached("fork.settled"))
            .and_then(|()| self.count(&half, to))
            .inspect(|()| steps::reached("fork.counted"))
            .and_then(|()| fs::rename(&half, self.disk(to)))
            .inspect(|()| steps::reached("fork.placed"))
            .map_err(|e| {
                self.drop_disk(&half);
                refused(to, forking, e)
            })
    }
}
