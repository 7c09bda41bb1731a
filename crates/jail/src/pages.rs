//! Gives back the pages of the program's own file that only its start needed. The kernel maps
//! sixteen pages around each one that is touched, so after a start much of a large binary counts
//! as resident that is never used again. What is needed later comes back from the page cache.
#![expect(unsafe_code, reason = "madvise has no safe form; the block says why it is sound")]

use std::{fs, io};

/// Drops the mapped pages of code of this process's program and libraries.
pub fn drop_code() -> io::Result<()> {
    for range in code(&fs::read_to_string("/proc/self/maps")?) {
        // SAFETY: the range is a mapping of a file that is executable and cannot be written to, so
        // every page of it is the file's: dropped, it is read from there again. Code is not
        // relocated on our architectures.
        if unsafe { libc::madvise(range.0 as *mut _, range.1 - range.0, libc::MADV_DONTNEED) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Ranges of proc_pid_maps(5) that hold code of a file.
fn code(maps: &str) -> Vec<(usize, usize)> {
    let range = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        let of_a_file = fields.next()? == "r-xp" && fields.nth(3)?.starts_with('/');
        let number = |text| usize::from_str_radix(text, 16).ok();
        of_a_file.then_some(())?;
        Some((number(from)?, number(to)?))
    };
    maps.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_dropped() {
        let maps = "7f00-7f10 r--p 00000000 fe:00 12   /usr/bin/x\n\
                    7f10-7f20 r-xp 00001000 fe:00 12   /usr/bin/x\n\
                    7f20-7f30 rw-p 00002000 fe:00 12   /usr/bin/x\n\
                    7f30-7f40 r-xp 00000000 00:00 0 \n\
                    7f40-7f50 r-xp 00000000 00:00 0    [vdso]\n";
        assert_eq!(code(maps), [(0x7f10, 0x7f20)]);
    }

    #[test]
    fn the_program_goes_on_without_them() {
        drop_code().unwrap();
        assert_eq!("still here".len(), 10);
        drop_code().unwrap();
    }
}
