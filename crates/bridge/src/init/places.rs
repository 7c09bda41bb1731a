//! The folders that bridge and programs start in. An agent, or a person, may have removed them or
//! put something else in their place; the machine must start all the same. Restores no content.

use std::{fs, io, path::Path};
use toft_model::id::random_hex;

/// Makes a folder with its parents, if it is none. What stands in its way is moved aside, never
/// removed. A failure is logged: whoever needs the folder says what is wrong with it.
pub(super) fn make(folder: &Path) {
    if folder.is_dir() {
        return;
    }
    let mut steps: Vec<&Path> = folder.ancestors().filter(|p| *p != Path::new("/")).collect();
    steps.reverse();
    for step in steps {
        if let Err(error) = make_one(step) {
            tracing::error!(path = %step.display(), %error, "a folder of the machine is missing");
            return;
        }
    }
}

fn make_one(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    match fs::symlink_metadata(folder) {
        Ok(_) => {
            let mut aside = folder.as_os_str().to_owned();
            aside.push(format!(".aside-{}", random_hex(4)));
            fs::rename(folder, &aside)?;
            tracing::warn!(path = %folder.display(), aside = %aside.display(), "no folder, moved aside");
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    fs::create_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn whatever_stands_there_a_folder_comes_of_it_and_nothing_is_lost() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "kept").unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::create_dir(at("there")).unwrap();
        fs::write(at("there/old"), "kept").unwrap();
        symlink(at("there"), at("link")).unwrap();
        for name in ["new/deep", "file/deep", "dangling/deep", "there", "link/deep"] {
            make(&at(name));
            assert!(at(name).is_dir(), "{name}");
        }
        assert_eq!(fs::read_to_string(at("there/old")).unwrap(), "kept");
        assert!(at("there/deep").is_dir(), "a link to a folder is one");
        let aside = fs::read_dir(root.path()).unwrap().flatten().map(|e| e.path());
        let kept = aside.filter(|p| p.to_string_lossy().contains("file.aside-"));
        assert_eq!(kept.map(|p| fs::read_to_string(p).unwrap()).collect::<Vec<_>>(), ["kept"]);
    }
}
