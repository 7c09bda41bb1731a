//! What a project carries out of the machine and into it, at the machine's end: an archive that goes through a pipe
//! and a channel at once, so that nothing of it lies anywhere but where it belongs.

use super::{
    mux::Channel,
    parcel::{self, Sum},
    wire::{self, Answer},
};
use crate::{
    backend::MachineError,
    blocking::blocking,
    carried::{self, Place},
    error::step,
};
use std::io;
use toft_model::id::ProjectId;
use tokio::{io::AsyncWriteExt as _, net::unix::pipe};

const PIPING: &str = "making a pipe";

/// Sends what lies at a place; then its sum, or why what came is not all of it.
pub(super) async fn pack(
    project: &ProjectId,
    place: Result<Place, MachineError>,
    mut channel: Channel,
) -> io::Result<()> {
    let sent = async {
        let place = place?;
        let (read, write) = io::pipe().map_err(step(project, PIPING))?;
        let project = project.clone();
        let packing = blocking(move || carried::pack(&project, &place, write.into()));
        let sending = async {
            let mut read = pipe::Receiver::from_owned_fd(read.into())?;
            parcel::send(&mut read, &mut channel).await
        };
        Ok::<_, MachineError>(tokio::join!(packing, sending))
    };
    let answer = match sent.await {
        Ok((Ok(()), sum)) => Answer::Carried(sum?),
        // What it has written is all that was sent, and not all that there is.
        Ok((Err(error), sum)) => sum.map(|_| Answer::refused(&error))?,
        Err(error) => {
            parcel::send(&mut tokio::io::empty(), &mut channel).await?;
            Answer::refused(&error)
        }
    };
    wire::send(&mut channel, &answer).await?;
    channel.shutdown().await
}

/// Takes what is to lie at a place, and says of what came that it lies on disk, or why it does not.
pub(super) async fn unpack(
    project: &ProjectId,
    place: Result<Place, MachineError>,
    mut channel: Channel,
) -> io::Result<()> {
    let answer = match take(project, place, &mut channel).await {
        Ok(sum) => Answer::Carried(sum),
        Err(error) => Answer::refused(&error),
    };
    wire::send(&mut channel, &answer).await?;
    channel.shutdown().await
}

async fn take(
    project: &ProjectId,
    place: Result<Place, MachineError>,
    channel: &mut Channel,
) -> Result<Sum, MachineError> {
    let place = place?;
    let (read, write) = io::pipe().map_err(step(project, PIPING))?;
    let whose = project.clone();
    let unpacking = blocking(move || carried::unpack(&whose, &place, read.into()));
    let receiving = async {
        let mut write = pipe::Sender::from_owned_fd(write.into())?;
        // What does not fit, tar says.
        let came = parcel::receive(channel, &mut write, || Ok(())).await?;
        drop(write);
        let sent: Sum = wire::receive(channel).await?;
        if came == sent {
            return Ok(came);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "what came is not what was sent"))
    };
    // Who does not read to the end knows why better than who writes.
    let (unpacked, came) = tokio::join!(unpacking, receiving);
    unpacked?;
    came.map_err(step(project, "taking what the project carries"))
}
