//! The dynamic loader that this program was started with, so that it can be started by it again
//! where the system's may have been changed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// That of this process; `None` for a program that needs none.
pub fn own() -> io::Result<Option<PathBuf>> {
    Ok(among(&fs::read_to_string("/proc/self/maps")?))
}

/// Picks it out of proc_pid_maps(5), whose paths have no links in them.
fn among(maps: &str) -> Option<PathBuf> {
    let code = maps.lines().filter(|line| line.contains(" r-xp "));
    let mut paths = code.filter_map(|line| Some(Path::new(&line[line.find('/')?..])));
    let loader = paths.find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // The C libraries of Linux all call it that.
        name.starts_with("ld-") && name.split('.').any(|part| part == "so")
    })?;
    Some(loader.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_is_found_by_its_name_where_there_is_one() {
        let program = "7f00-7f10 r-xp 00001000 fe:00 12   /opt/ld-toft\n\
                       7f20-7f30 r-xp 00001000 fe:00 14   /usr/lib/x/libc.so.6\n\
                       7f50-7f60 r-xp 00000000 00:00 0    [vdso]\n";
        assert_eq!(among(program), None);
        for loader in ["/usr/lib/x/ld-linux-x86-64.so.2", "/lib/ld-2.31.so"] {
            let maps = format!("{program}7f40-7f50 r-xp 00001000 fe:00 16   {loader}\n");
            assert_eq!(among(&maps), Some(loader.into()));
        }
    }
}
