//! Chores of the repository: `cargo run -p xtask -- <chore>`. The doors are in the Makefile; what
//! can be said in one shell line stays there.

mod tidy;
mod web;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let root = repository();
    let chore = std::env::args().nth(1).unwrap_or_default();
    match chore.as_str() {
        "tidy" => tidy::run(&root, std::env::args().any(|a| a == "--report")),
        "web" => web::build(&root),
        other => bail!("no chore {other:?}: there are `tidy [--report]` and `web`"),
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").into()
}
