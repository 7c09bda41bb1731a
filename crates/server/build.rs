//! Lists the built dashboard (`dashboard/dist`) for embedding. Never builds it: without a built one
//! the list is empty, and the server shows a page that says how to get it.

use std::{
    collections::{BTreeMap, BTreeSet},
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

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let copies = out.join("dist");
    let _ = fs::remove_dir_all(&copies);
    let mut names = BTreeSet::new();
    walk(&dist, &dist, &mut names)?;
    // Copied first: the dashboard's own build may empty the folder while the compiler reads.
    let mut files = BTreeMap::new();
    for name in names {
        let copy = copies.join(&name);
        fs::create_dir_all(copy.parent().unwrap_or(&copies))?;
        if fs::copy(dist.join(&name), &copy).is_ok() {
            files.insert(name, copy);
        }
    }
    let mut code = String::from("pub(super) static FILES: &[File] = &[\n");
    for (name, path) in &files {
        if is_variant(name, &files) {
            continue;
        }
        let variant = |ending: &str| match files.get(&format!("{name}.{ending}")) {
            Some(other) => format!("Some(include_bytes!({}))", literal(other)),
            None => "None".to_owned(),
        };
        let _ = writeln!(
            code,
            "    File {{ path: {name:?}, plain: include_bytes!({}), br: {}, gz: {}, tag: {:?} }},",
            literal(path),
            variant("br"),
            variant("gz"),
            format!("W/\"{:016x}\"", fnv1a(&fs::read(path)?)),
        );
    }
    code.push_str("];\n");
    fs::write(out.join("assets.rs"), code)
}

/// A path as a string literal of Rust.
fn literal(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

fn walk(root: &Path, dir: &Path, out: &mut BTreeSet<String>) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, out)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            out.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Whether a file is the compressed form of another one in the list.
fn is_variant(name: &str, files: &BTreeMap<String, PathBuf>) -> bool {
    [".br", ".gz"]
        .iter()
        .filter_map(|ending| name.strip_suffix(ending))
        .any(|plain| files.contains_key(plain))
}

/// FNV-1a, 64 bits: enough to tell two builds of one file apart. Not that of `toft_model::hash`, which a
/// build script would have compiled once more, with all that it stands on, in each optimised build.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}
