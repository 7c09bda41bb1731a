//! `workspaceBackend`: which backends this server offers, and which one a project is of. How a project gets to
//! another one is in `checkpoints::moving`.

use crate::{
    api_error::{ApiError, Code},
    machines::Machine,
    state::App,
};
use toft_store::Project;

/// All that there are, here or elsewhere.
const BACKENDS: [&str; 4] = ["native", "oci", "host", "e2b"];

/// Whether projects may be of it here.
pub(crate) fn is_offered(app: &App, asked: &str) -> Result<(), ApiError> {
    is_among(&app.backend.choices(), asked)
}

fn is_among(offered: &[&str], asked: &str) -> Result<(), ApiError> {
    if offered.contains(&asked) {
        return Ok(());
    }
    let list = offered.join(", ");
    if BACKENDS.contains(&asked) {
        return Err(ApiError::new(
            Code::Unavailable,
            format!(
                "workspaceBackend: this server offers {list}, and not {asked}: leave it out, or have its admin start it \
                 with --backends {},{asked}",
                offered.join(",")
            ),
        ));
    }
    Err(ApiError::invalid(format!(
        "workspaceBackend is native, oci, host or e2b; this server offers {list}"
    )))
}

/// The one that a project is of, or will be.
pub(crate) fn of<'a>(app: &'a App, project: &'a Project) -> &'a str {
    project.backend.as_deref().unwrap_or_else(|| app.backend.name())
}

/// Whether a project that is there is of this one.
pub(crate) fn is_of(app: &App, project: &Project, asked: &str) -> Result<(), ApiError> {
    let now = of(app, project);
    if now == asked {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Unavailable,
        format!(
            "workspaceBackend: this project is there already, on {now}: leave it out. A run that names {asked} moves it \
             there"
        ),
    ))
}

/// Whether a run in a project may ask for it: the project is of it, or can be moved there before the run begins.
pub(crate) fn may_have(
    app: &App,
    project: &Project,
    machine: &Machine,
    asked: &str,
) -> Result<(), ApiError> {
    let now = of(app, project);
    if !BACKENDS.contains(&asked) || now != asked {
        is_offered(app, asked)?;
    }
    if now == asked {
        return Ok(());
    }
    if let Err(elsewhere) = machine.here() {
        let message = format!(
            "workspaceBackend: the project is on {now}, and only its own server moves it to {asked}: {}",
            elsewhere.message
        );
        return Err(ApiError::new(elsewhere.code, message));
    }
    if project.host.is_none() {
        return Ok(());
    }
    app.backend.can_carry(&project.id, asked).map_err(|why| {
        ApiError::new(
            Code::Unavailable,
            format!(
                "workspaceBackend: the project is on {now}, and cannot be moved to {asked}: {why}. Leave it out, or make a \
                 project with workspaceBackend {asked}"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_is_not_offered_is_told_from_one_that_there_is_not() {
        let code = |offered: &[&str], asked: &str| {
            is_among(offered, asked).err().map(|error| (error.code, error.message))
        };
        for own in BACKENDS {
            for asked in BACKENDS {
                let refused = code(&[own, "native"], asked);
                let is_there = [own, "native"].contains(&asked);
                assert_eq!(refused.is_none(), is_there, "{own} {asked}");
                if let Some((code, message)) = refused {
                    assert_eq!(code, Code::Unavailable);
                    assert!(
                        message.contains(&format!("--backends {own},native,{asked}")),
                        "{message}"
                    );
                }
            }
            for odd in ["moon", "", "Native", "kubernetes"] {
                assert_eq!(code(&[own], odd).unwrap().0, Code::InvalidArgument, "{odd}");
            }
        }
    }
}
