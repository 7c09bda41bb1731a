//! The table of faults and attacks at the top of this binary is true: what it names exists.

use anyhow::{Context as _, Result, ensure};
use std::{fs, path::Path};

#[test]
fn every_test_that_the_table_names_exists() -> Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = include_str!("main.rs").lines().filter(|line| line.starts_with("//! |"));
    let mut seen = 0;
    for named in table.flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let Some((file, test)) = named.rsplit_once("::") else { continue };
        let below = if file.contains('/') { "" } else { "stories/tests/all/" };
        let path = crates.join(format!("{below}{file}.rs"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(text.contains(&format!("fn {test}(")), "{named} does not exist");
        seen += 1;
    }
    ensure!(seen > 40, "only {seen} tests are named");
    Ok(())
}
