//! The part `__aside` of the binary alone, for the tests of this crate: `toft-aside __aside JOB`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut argv = std::env::args_os().skip(1);
    if argv.next().is_none_or(|part| part != toft_tools::aside::PART) {
        return ExitCode::FAILURE;
    }
    toft_tools::aside::main(argv)
}
