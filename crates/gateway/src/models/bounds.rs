//! What a call may take.

use crate::api_error::{ApiError, Code};
use std::time::Duration;

/// Largest request: the providers' own limit (Anthropic: 32 MB) with images in it.
pub(super) const REQUEST_BYTES_MAX: usize = 32 << 20;

/// A provider that says nothing for so long is gone; 170 s of silence were seen on large tool calls.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

pub(super) fn too_large() -> ApiError {
    ApiError::new(Code::PayloadTooLarge, "The request is larger than 32 MiB: send less context.")
}
