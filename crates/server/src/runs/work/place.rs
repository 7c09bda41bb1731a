//! Where a run is worked on: on the backend that it asks for. A project that is of another one is moved there first,
//! which the run tells, whichever server was there when it was done.

use super::owned::{BYTES_MAX, ROWS_MAX, Stop, Work, read};
use crate::{checkpoints::moving, machines::Machine, runs::told::Told, servers};
use serde_json::{Value, json};
use std::sync::Arc;
use toft_store::{Durable, Left};

/// The project is on its way to the backend that the run asks for, and is there.
const MOVING: &str = "workspace_moving";
const MOVED: &str = "workspace_moved";

impl Work {
    /// Sees to it that the project is of the backend that the run asks for. One that its bridge has works where it is.
    pub(super) async fn take_place(&mut self, machine: &Arc<Machine>) -> Result<(), Stop> {
        if self.run.state.session.is_some() || self.cancelled.is_cancelled() {
            return Ok(());
        }
        let asked = self.run.backend.clone();
        if let Some(asked) = &asked {
            let begun = self.was_moving(asked).await?;
            let from = if let Some(from) = moving::leaves(&self.app, machine, asked).await? {
                // On disk before the project moves: whoever goes on with this run after a kill knows by it. Once: what
                // is told says that a run gets on.
                if begun.as_ref() != Some(&from) {
                    self.tell_way(MOVING, &from, asked, Durable::Now).await?;
                }
                // Who is cancelled waits for nobody; what has begun comes to its end.
                tokio::select! {
                    moved = moving::to(&self.app, machine, asked) => moved?,
                    () = self.cancelled.cancelled() => return Ok(()),
                }
                from
            } else {
                let Some(from) = begun else { return Ok(()) };
                from
            };
            self.tell_way(MOVED, &from, asked, Durable::Soon).await?;
        } else {
            servers::bind(&self.app, machine).await?;
            // Written with what comes next.
            self.run.backend = Some(self.app.backend.of(&self.run.project).name().to_owned());
        }
        Ok(())
    }

    async fn tell_way(
        &mut self,
        status: &str,
        from: &str,
        to: &str,
        durable: Durable,
    ) -> Result<(), Stop> {
        let mut told = Told::default();
        let left = moving::left_behind(from, to);
        told.status(self.now(), status, json!({ "from": from, "to": to, "leftBehind": left }));
        self.write(told, Left::default(), durable).await
    }

    /// Where the project was when this run began to move it, and told no more of it: its server ended meanwhile.
    async fn was_moving(&self, to: &str) -> Result<Option<String>, Stop> {
        let (mut from, mut after) = (None, 0);
        loop {
            // A run that no bridge has yet told little.
            let events =
                read(self.app.store.run_events(&self.run.id, after, ROWS_MAX, BYTES_MAX).await)?;
            let Some(last) = events.last() else { return Ok(from) };
            after = last.seq;
            for told in events.iter().filter(|told| told.event.kind == "status") {
                let Ok(said) = serde_json::from_str::<Value>(&told.event.data) else { continue };
                match said["status"].as_str() {
                    Some(MOVING) if said["to"] == to => {
                        from = said["from"].as_str().map(str::to_owned);
                    }
                    Some(MOVED) => from = None,
                    _ => {}
                }
            }
        }
    }
}
