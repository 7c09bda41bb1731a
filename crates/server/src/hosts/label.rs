//! Which preview a host name is of.

use toft_model::id::ProjectId;

/// The label of a preview host: `{project}` or `{port}-{project}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) project: ProjectId,
    pub(crate) port: Option<u16>,
}

impl Label {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (port, project) = match text.split_once('-') {
            None => (None, text),
            Some((port, project)) => {
                let canonical =
                    port.parse::<u16>().ok().filter(|p| *p > 0 && p.to_string() == port);
                (Some(canonical?), project)
            }
        };
        Some(Self { project: project.parse().ok()?, port })
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{port}-{}", self.project),
            None => write!(f, "{}", self.project),
        }
    }
}
