//! How much one project may have at once, or in a while: requests, connections, bytes that are held.
//! Knows neither models nor hosts.

pub(crate) mod bucket;
pub(crate) mod held;
pub(crate) mod pace;
