//! The gateway as a program of its own, for the process tests of this crate. `toft gateway` is the
//! same entry point.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The first argument is the verb, as in `toft gateway --data DIR`.
    toft_gateway::main(std::env::args_os().skip(2))
}
