//! The start of a server's program, and what it is greeted with and answered: this client offers servers
//! nothing, so what they ask of it is declined.

use super::{
    ID_PREFIX, Pace, Tell,
    config::Declared,
    link::{Link, Word},
    part,
};
use crate::{
    aside,
    host::{Secrets, Shell},
};
use rmcp::{
    ClientHandler, Peer, RoleClient, ServiceError, ServiceExt as _,
    model::{ClientConfig, Implementation, PaginatedRequestParams, Tool as Listed},
    service::{NotificationContext, RunningService},
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use toft_model::{id::random_hex, init::ExecSpec};

/// Kept on disk of what it prints: it is read as it comes.
const SPILL_BYTES_MAX: u64 = 64 * 1024;

/// Tools of one server: of a list that never ends no more are read.
const TOOLS_MAX: usize = 10_000;

/// Pages of such a list.
const PAGES_MAX: usize = 1_000;

/// What all servers of a project share.
pub(super) struct Around {
    pub(super) shell: Arc<dyn Shell>,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) cwd: PathBuf,
    pub(super) tell: Tell,
    pub(super) pace: Pace,
}

impl Around {
    /// What a program said of itself, fit to be told: it may repeat its arguments, or the address that it was given.
    pub(super) fn fit(&self, word: &Word) -> Word {
        Word { text: self.secrets.mask().text(&word.text).into_owned(), sign_in: word.sign_in }
    }
}

/// A server that runs.
pub(super) struct Running {
    pub(super) service: RunningService<RoleClient, Client>,
    pub(super) link: Arc<Link>,
}

/// Our side.
pub(super) struct Client {
    stale: Arc<AtomicBool>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let mut config = ClientConfig::default();
        config.client_info = Implementation::new("toft", env!("CARGO_PKG_VERSION"));
        config
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.stale.store(true, Ordering::Release);
    }
}

/// Starts it, greets it, and asks for its tools. `stale` is set when it says later that there are others.
pub(super) async fn start(
    around: &Around,
    declared: &Declared,
    stale: &Arc<AtomicBool>,
) -> Result<(Running, Arc<[Listed]>), Word> {
    let mut argv = around.shell.own_program();
    if argv.is_empty() {
        return Err(Word::plain("Toft's own program is not known here".to_owned()));
    }
    argv.extend([aside::PART.to_owned(), aside::SERVER.to_owned()]);
    let written = serde_json::to_string(declared).expect("it holds text");
    let spec = ExecSpec {
        id: Some(format!("{ID_PREFIX}{}.{}", declared.name, random_hex(8))),
        argv,
        cwd: Some(around.cwd.display().to_string()),
        env: vec![(part::VARIABLE.to_owned(), written)],
        stdin: true,
        spill_bytes_max: SPILL_BYTES_MAX,
        label: Some(format!("MCP server {}", declared.name)),
        ..ExecSpec::default()
    };
    let opened = Link::open(&around.shell, spec).await;
    let (link, read, write) = opened.map_err(|error| Word::plain(error.to_string()))?;
    let link = Arc::new(link);
    let client = Client { stale: Arc::clone(stale) };
    stale.store(false, Ordering::Release);
    let greeted = async {
        let service = client.serve((read, write)).await.map_err(|error| error.to_string())?;
        let has_tools = service.peer_info().is_some_and(|peer| peer.capabilities.tools.is_some());
        let listed = if has_tools {
            listed(service.peer()).await.map_err(|error| error.to_string())?
        } else {
            Arc::default()
        };
        Ok((service, listed))
    };
    match greeted.await {
        Ok((service, listed)) => Ok((Running { service, link }, listed)),
        Err(error) => Err(link.last_word_soon().await.unwrap_or_else(|| Word::plain(error))),
    }
}

/// The tools of a server, page by page. Of two with one name the first counts.
pub(super) async fn listed(peer: &Peer<RoleClient>) -> Result<Arc<[Listed]>, ServiceError> {
    let (mut tools, mut names) = (Vec::new(), std::collections::HashSet::new());
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let params = PaginatedRequestParams::default().with_cursor(cursor.take());
        let page = peer.list_tools(Some(params)).await?;
        tools.extend(page.tools.into_iter().filter(|tool| names.insert(tool.name.clone())));
        cursor = page.next_cursor;
        if cursor.is_none() || tools.len() >= TOOLS_MAX {
            break;
        }
    }
    tools.truncate(TOOLS_MAX);
    Ok(tools.into())
}
