//! All fuzz targets in one program, on libFuzzer: `TOFT_FUZZ` names the one that is fed. What a target is, and
//! what must hold of it, stands in `fuzz.rs` of its crate; how this is built and run, in `.ci/fuzz`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{env, process, sync::LazyLock};

// The server's own, read as files: the whole of it would be built for minutes.
#[path = "../../crates/server/src/mcp/challenge.rs"]
mod challenge;
#[path = "../../crates/server/src/fuzz.rs"]
mod server;
#[path = "../../crates/server/src/machines/sse.rs"]
mod sse;

mod machines {
    pub(crate) use crate::sse;
}

mod mcp {
    pub(crate) use crate::challenge;
}

type Parse = fn(&[u8]);

const CRATES: [&[(&str, Parse)]; 7] = [
    toft_agent::fuzz::TARGETS,
    toft_gateway::fuzz::TARGETS,
    toft_llm::fuzz::TARGETS,
    toft_machine::fuzz::TARGETS,
    toft_policy::fuzz::TARGETS,
    server::TARGETS,
    toft_tools::fuzz::TARGETS,
];

static TARGET: LazyLock<Parse> = LazyLock::new(|| {
    let wanted = env::var("TOFT_FUZZ").unwrap_or_default();
    let found = CRATES.into_iter().flatten().find(|(name, _)| *name == wanted);
    let Some((_, parse)) = found else {
        let names: Vec<&str> = CRATES.into_iter().flatten().map(|(name, _)| *name).collect();
        eprintln!("TOFT_FUZZ={wanted} names no target; there are {}.", names.join(", "));
        process::exit(2);
    };
    *parse
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
