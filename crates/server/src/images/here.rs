//! Where an image's files are: with this server, or with another one.

use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use toft_store::Image;

/// Refuses an image whose files are another server's.
pub(super) fn is_here(app: &App, image: &Image) -> Result<(), ApiError> {
    let Some(elsewhere) = app.servers.elsewhere(image.host.as_deref()) else { return Ok(()) };
    let message = format!(
        "the image {} is on another server. {}",
        image.what.name,
        elsewhere.url().map_or_else(
            || "Add it here, under another name".to_owned(),
            |url| format!("Ask that one, at {url}, or add it here under another name")
        )
    );
    Err(ApiError::new(Code::OtherHost, message))
}
