//! What a project carries out of the machine and into it, at the machine's end: an archive that goes through a pipe
//! and a channel at once, so that nothing of it lies anywhere but where it belongs.

use super::{
    inside::Inside,
    mux::Channel,
    parcel::{self, Sum},
    wire::{self, Answer},
};
use crate::{
    backend::{MachineError, Part},
    blocking::blocking,
    carried,
    error::step,
};
use std::io;
use tokio::{io::AsyncWriteExt as _, net::unix::pipe};

const PIPING: &str = "making a pipe";

/// Sends a part; then its sum, or why what came is not all of it.
pub(super) async fn pack(inside: &Inside, mut channel: Channel, part: Part) -> io::Result<()> {
    let sent = async {
        let place = inside.place(part, true).await?;
        let (read, write) = io::pipe().map_err(step(inside.project(), PIPING))?;
        let project = inside.project().clone();
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

/// Takes a part, and says of what came that it lies on disk, or why it does not.
pub(super) async fn unpack(inside: &Inside, mut channel: Channel, part: Part) -> io::Result<()> {
    let answer = match take(inside, &mut channel, part).await {
        Ok(sum) => Answer::Carried(sum),
        Err(error) => Answer::refused(&error),
    };
    wire::send(&mut channel, &answer).await?;
    channel.shutdown().await
}

async fn take(inside: &Inside, channel: &mut Channel, part: Part) -> Result<Sum, MachineError> {
    let place = inside.place(part, false).await?;
    let (read, write) = io::pipe().map_err(step(inside.project(), PIPING))?;
    let project = inside.project().clone();
    let unpacking = blocking(move || carried::unpack(&project, &place, read.into()));
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
    came.map_err(step(inside.project(), "taking what the project carries"))
}
