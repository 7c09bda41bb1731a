//! What init tells the bridge when it starts it: JSON on standard input. Not the contract with the
//! host: that is `toft_model::boot`.

use serde::{Deserialize, Serialize};
use toft_model::boot::BridgeBoot;

/// See the module. The descriptors are inherited under these numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServeBoot {
    /// What the host said.
    pub boot: BridgeBoot,
    /// Descriptor of [`BridgeBoot::log_dir`], which is a path below it then.
    #[serde(default)]
    pub log_fd: Option<i32>,
    /// Listening unix socket for HTTP from the server.
    pub http_fd: i32,
    /// Listening TCP socket for `:8080` in the machine, if there is one.
    pub app_fd: Option<i32>,
    /// The link to init: see [`crate::init_link`].
    pub init_fd: i32,
    /// Names this life of init: another one knows none of its programs.
    #[serde(default)]
    pub life: String,
}
