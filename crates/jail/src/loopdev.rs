//! A file as a block device. Only attaching and growing: devices are attached with `autoclear`, so
//! the kernel detaches them when the last mount is gone.
#![expect(unsafe_code, reason = "loop devices are driven by ioctl")]

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

/// Requests of `linux/loop.h`.
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CLR_FD: libc::c_ulong = 0x4C01;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;
/// The sector size of btrfs; direct reads and writes of the backing file want whole blocks.
const BLOCK_BYTES: u32 = 4096;
/// Others may take the free device between asking and attaching.
const ATTEMPTS_MAX: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` (kernel 5.8).
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

/// An attached device. Keep it until it is mounted: when its last user goes, it is detached.
#[derive(Debug)]
pub struct LoopDevice {
    /// `/dev/loopN`.
    pub path: PathBuf,
    _open: File,
}

/// Attaches a file, which must be open for reading and writing, to a free device.
pub fn attach(backing: &File, shown_name: &Path) -> io::Result<LoopDevice> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let mut config = LoopConfig {
        fd: u32::try_from(backing.as_raw_fd()).expect("descriptors are not negative"),
        block_size: BLOCK_BYTES,
        info: LoopInfo64 {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            sizelimit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    let name = shown_name.as_os_str().as_encoded_bytes();
    let shown = name.len().min(63);
    config.info.file_name[..shown].copy_from_slice(&name[..shown]);
    let mut last = io::Error::other("no loop device was free");
    for _ in 0..ATTEMPTS_MAX {
        // SAFETY: the request takes no argument and answers a number.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        // SAFETY: the request reads a `loop_config`, which outlives the call.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
        if done == 0 {
            return Ok(LoopDevice { path, _open: device });
        }
        last = io::Error::last_os_error();
        match last.raw_os_error() {
            Some(libc::EBUSY) => {}
            // The file system of the backing file has no direct writes.
            Some(libc::EINVAL) if config.info.flags & LO_FLAGS_DIRECT_IO != 0 => {
                config.info.flags &= !LO_FLAGS_DIRECT_IO;
            }
            _ => return Err(last),
        }
    }
    Err(last)
}

/// Detaches a device that nothing uses (with users: once the last of them is gone).
pub fn detach(device: &Path) -> io::Result<()> {
    let file = File::open(device)?;
    // SAFETY: the request takes no argument.
    if unsafe { libc::ioctl(file.as_raw_fd(), LOOP_CLR_FD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Devices that a file is attached to now.
pub fn attached_to(backing: &Path) -> Vec<PathBuf> {
    let Ok(blocks) = std::fs::read_dir("/sys/block") else { return Vec::new() };
    blocks
        .flatten()
        .filter(|e| e.file_name().as_encoded_bytes().starts_with(b"loop"))
        .filter(|e| {
            std::fs::read(e.path().join("loop/backing_file"))
                .is_ok_and(|b| b.trim_ascii_end() == backing.as_os_str().as_encoded_bytes())
        })
        .map(|e| Path::new("/dev").join(e.file_name()))
        .collect()
}
