//! What can be typed after `toft receipts`.

use clap::Args;
use toft_model::id::SessionId;

#[derive(Debug, Args)]
pub(crate) struct Receipts {
    /// Id, alias or name.
    pub(crate) project: String,
    /// Of this conversation only.
    #[arg(long)]
    pub(crate) session: Option<SessionId>,
    /// Those with higher numbers, instead of the newest.
    #[arg(long)]
    pub(crate) after: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u16,
}
