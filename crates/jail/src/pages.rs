//! Gives back the pages of the program's own file that only its start needed. The kernel maps
//! sixteen pages around each one that is touched, so after a start much of a large binary counts
//! as resident that is never used again. What is needed later comes back from the page cache.
#![expect(unsafe_code, reason = "madvise has no safe form; the block says why it is sound")]

use std::{fs, io};

/// Drops the mapped pages of code of this process's program and libraries, and of the program's
/// constants.
pub fn drop_code() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    // The program is where this code is: it may have been started through its loader.
    let here = drop_code as fn() -> io::Result<()> as usize;
    let program = maps.lines().find_map(|line| {
        let (from, to, _, _, path) = fields(line)?;
        (from..to).contains(&here).then_some(path)
    });
    for range in unchanged(&maps, program.unwrap_or_default()) {
        // SAFETY: the range is a mapping of a file that was never written to (see `unchanged`), so
        // every page of it is the file's: dropped, it is read from there again.
        if unsafe { libc::madvise(range.0 as *mut _, range.1 - range.0, libc::MADV_DONTNEED) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Ranges of proc_pid_maps(5) that the loader cannot have written to: code, which is not relocated
/// on our architectures, and the program's first segment, which holds its headers and constants.
/// What else cannot be written to now may have been relocated before.
fn unchanged(maps: &str, program: &str) -> Vec<(usize, usize)> {
    let range = |line: &str| {
        let (from, to, rights, offset, path) = fields(line)?;
        let code = rights == "r-xp" && path.starts_with('/');
        let constants = rights == "r--p" && path == program && offset == 0;
        (code || constants).then_some((from, to))
    };
    maps.lines().filter_map(range).collect()
}

/// First address, the one after the last, rights, offset and path of a line.
fn fields(line: &str) -> Option<(usize, usize, &str, usize, &str)> {
    let number = |text| usize::from_str_radix(text, 16).ok();
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let (rights, offset, path) = (fields.next()?, fields.next()?, fields.nth(2)?);
    Some((number(from)?, number(to)?, rights, number(offset)?, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_written_to_is_kept() {
        let maps = "7f00-7f10 r--p 00000000 fe:00 12   /usr/bin/x\n\
                    7f10-7f20 r-xp 00001000 fe:00 12   /usr/bin/x\n\
                    7f20-7f30 r--p 00002000 fe:00 12   /usr/bin/x\n\
                    7f20-7f30 rw-p 00003000 fe:00 12   /usr/bin/x\n\
                    7f20-7f30 r--p 00000000 fe:00 13   /usr/lib/y\n\
                    7f30-7f40 r-xp 00000000 00:00 0 \n\
                    7f40-7f50 r-xp 00000000 00:00 0    [vdso]\n";
        assert_eq!(unchanged(maps, "/usr/bin/x"), [(0x7f00, 0x7f10), (0x7f10, 0x7f20)]);
    }

    #[test]
    fn the_program_goes_on_without_them() {
        drop_code().unwrap();
        assert_eq!("still here".len(), 10);
        drop_code().unwrap();
    }
}
