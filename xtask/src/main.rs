//! Chores of the repository: `cargo run -p xtask -- <chore>`. The doors are in the Makefile; what
//! can be said in one shell line stays there.

mod catalogue;
mod tidy;
mod web;

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let root = repository();
    let chore = std::env::args().nth(1).unwrap_or_default();
    match chore.as_str() {
        "tidy" => tidy::run(&root, std::env::args().any(|a| a == "--report")),
        "web" => web::build(&root),
        "catalogue" => {
            let from = after("--from").context("say `--from FILE`: models.dev's api.json")?;
            let source = after("--source").context("say `--source WORDS`: where it is from")?;
            catalogue::run(&root, Path::new(&from), &source)
        }
        other => bail!(
            "no chore {other:?}: there are `tidy [--report]`, `web` and \
             `catalogue --from FILE --source WORDS`"
        ),
    }
}

/// The argument after this one.
fn after(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// The one it is run in: a target folder that several clones share may hold another one's build.
fn repository() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    let here = here.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().expect("xtask lies in the repository").into()
}
