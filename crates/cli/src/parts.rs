//! The parts that the binary plays besides its verbs. They are started by other parts or, inside a
//! machine, by agents; people never type them, and so they have no help text.

use std::{ffi::OsString, process::ExitCode};

/// Where init gives a bridge its boot document.
const STANDARD_INPUT: i32 = 0;

/// Plays the part named `part`, if it is one.
pub(crate) fn run(part: &str, mut argv: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    match part {
        "__launch" => toft_jail::launch::main(descriptor(argv.next())?),
        "init" => {
            let seat = argv.next()?;
            let result = match descriptor(Some(seat.clone())) {
                Some(boot) => toft_bridge::init::main(boot),
                None => toft_bridge::init::contained::main(seat.as_ref()),
            };
            Some(ended("init", result))
        }
        "bridge" => Some(ended("bridge", toft_bridge::serve::main(STANDARD_INPUT))),
        "inspect" => Some(ended("inspect", toft_bridge::inspect::sql::main(argv))),
        "gateway" => Some(toft_gateway::main(argv)),
        "tunnel" => Some(ended("tunnel", toft_machine::tunnel::main(argv))),
        toft_tools::aside::PART => Some(toft_tools::aside::main(argv)),
        crate::bench::CLIENTS => Some(ended("bench", crate::bench::clients())),
        toft_tools::tree::PART => Some(toft_tools::tree::main(argv)),
        _ => None,
    }
}

fn descriptor(arg: Option<OsString>) -> Option<i32> {
    arg?.to_str()?.parse().ok()
}

fn ended<E: std::fmt::Display>(part: &str, result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::output::remark(&format!("toft {part}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The program that other parts are started from. A file that an upgrade has replaced is still
/// reachable through `/proc`, but not as a path that can be mounted: then the path is used.
pub(crate) fn exe() -> std::io::Result<std::path::PathBuf> {
    std::env::current_exe()
}
