//! Lists the built dashboard (`dashboard/dist`) for embedding. Never builds it: without a built one
//! the list is empty, and the server shows a page that says how to get it.

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let dist = manifest.join("../../dashboard/dist");
    // A watched path that is missing would rebuild this crate every time. A read-only tree is fine.
    let _ = fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", dist.display());

    let mut files = BTreeSet::new();
    if let Ok(dist) = dist.canonicalize() {
        walk(&dist, &dist, &mut files)?;
    }
    let mut code = String::from("pub(super) static FILES: &[File] = &[\n");
    for (name, path) in &files {
        if is_variant(name, &files) {
            continue;
        }
        let variant = |ending: &str| match path.with_file_name(format!(
            "{}.{ending}",
            path.file_name().unwrap_or_default().to_string_lossy()
        )) {
            other if other.is_file() => format!("Some(include_bytes!({other:?}))"),
            _ => "None".to_owned(),
        };
        let _ = writeln!(
            code,
            "    File {{ path: {name:?}, plain: include_bytes!({path:?}), br: {}, gz: {}, tag: {:?} }},",
            variant("br"),
            variant("gz"),
            format!("\"{:016x}\"", fnv1a(&fs::read(path)?)),
        );
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("assets.rs"), code)
}

fn walk(root: &Path, dir: &Path, out: &mut BTreeSet<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, out)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            out.insert((name.to_string_lossy().into_owned(), path.clone()));
        }
    }
    Ok(())
}

/// Whether a file is the compressed form of another one in the list.
fn is_variant(name: &str, files: &BTreeSet<(String, PathBuf)>) -> bool {
    [".br", ".gz"]
        .iter()
        .filter_map(|ending| name.strip_suffix(ending))
        .any(|plain| files.iter().any(|(other, _)| other == plain))
}

/// FNV-1a, 64 bits: enough to tell two builds of one file apart.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}
