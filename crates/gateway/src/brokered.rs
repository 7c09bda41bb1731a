//! Brokered secrets: a machine has placeholders; the values are put into requests here, on their way to
//! the hosts that they are bound to, and taken out of what those answer. Both happen within TLS, which
//! ends here with a certificate of the project's own authority. Values are in memory only.

mod answer;
pub mod authority;
mod frames;
mod request;
mod unpack;
mod upstream;

pub(crate) use answer::{Echo, open_answer, open_head};
pub(crate) use frames::Frames;
pub(crate) use request::{NotBound, ask_readable, refuse_plain};
pub(crate) use unpack::{Unpacked, has_body, packed};
pub(crate) use upstream::{Protocol, Roots, Secured};

use crate::{needles::Needles, secret_text};
use authority::{Leaves, Mint};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use toft_model::{binding::Binding, id::ProjectId};
use toft_policy::{Bound, HostPort};
use toft_vault::Secret;

/// What the gateway is told of a machine's brokered secrets. A new one replaces the old one whole, from
/// the next request on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brokered {
    /// Those that have a value.
    pub secrets: Vec<BrokeredSecret>,
    /// In whose name the gateway speaks for their hosts. Without it nothing is brokered.
    pub authority: Option<Mint>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokeredSecret {
    /// Its name.
    pub name: String,
    /// What stands for it in the machine.
    pub placeholder: String,
    /// Its value.
    #[serde(with = "secret_text")]
    pub value: Secret,
    /// The requests that it is put into.
    pub binding: Binding,
}

/// The same, understood once.
#[derive(Default)]
pub(crate) struct Broker {
    secrets: Arc<Vec<One>>,
    leaves: Option<Leaves>,
    /// What is looked for in answers.
    needles: Arc<Needles>,
}

struct One {
    name: String,
    placeholder: String,
    value: Secret,
    bound: Bound,
}

impl Broker {
    /// Understands it. What is not understood is left out, and said: its placeholder stays one.
    pub(crate) fn new(project: &ProjectId, told: Brokered) -> Self {
        let leaves = told.authority.and_then(|mint| {
            Leaves::new(project, &mint)
                .inspect_err(|error| {
                    tracing::error!(project.id = %project, %error, "no secret is brokered");
                })
                .ok()
        });
        let mut secrets = Vec::with_capacity(told.secrets.len());
        for BrokeredSecret { name, placeholder, value, binding } in told.secrets {
            match Bound::new(&binding) {
                Ok(bound) => secrets.push(One { name, placeholder, value, bound }),
                Err(error) => {
                    tracing::error!(project.id = %project, secret.name = name, %error,
                        "a secret is not brokered");
                }
            }
        }
        let pairs = secrets.iter().map(|one| (one.value.expose(), &*one.placeholder));
        let needles = Arc::new(Needles::new(pairs));
        Self { secrets: Arc::new(secrets), leaves, needles }
    }

    /// How to speak for this host, if requests to it are to be read.
    pub(crate) fn reads(&self, target: &HostPort) -> Option<&Leaves> {
        let is_bound = || self.secrets.iter().any(|one| one.bound.is_for(target));
        self.leaves.as_ref().filter(|_| is_bound())
    }
}
