//! What the fuzzer feeds of files that declare MCP servers.

use super::config::Config;

/// A `.mcp.json`: each server of it can be reached in one way, and whatever is not used is said.
pub(crate) fn mcp_servers(bytes: &[u8]) {
    let mut config = Config::default();
    config.take(".mcp.json", &String::from_utf8_lossy(bytes));
    for (name, found) in &config.servers {
        if found.disabled {
            continue;
        }
        let server = &found.declared;
        assert_eq!(name, &server.name);
        assert!(server.command.is_some() != server.url.is_some(), "one way to reach it");
    }
    assert!(config.faults.iter().all(|fault| !fault.is_empty()));
}
