//! What the parts of paths are, each by its name: one word is one thing in all paths.

/// What the part of a path is, and the pattern of its text where it has one. `None`: nobody has told.
pub(crate) fn of_path(path: &str, name: &str) -> Option<&'static str> {
    let of_bridge = path.split_once("/toft/").map(|(_, rest)| rest);
    Some(match (name, of_bridge) {
        ("id", None) if path.starts_with("/v1/keys/") => "The key's id; not the key.",
        ("id", None) if path.starts_with("/v1/providers/") => "The provider's id.",
        ("id", of_bridge) if of_bridge.is_some() || path.starts_with("/v1/projects/") => {
            "The project, by its id or alias."
        }
        ("exec", _) => "The program, by the `id` of its stream's event `start`.",
        ("checkpoint", _) => "The checkpoint's id.",
        ("sid", _) => "The schedule's id.",
        ("comparison", _) => "The comparison's id.",
        ("name", None) => "The secret's name.",
        ("key", _) => "The image's key or name.",
        ("provider", _) => "The provider's id.",
        ("model", _) => "The model's name at its provider; it may hold slashes.",
        ("webhook", _) => "The webhook's id.",
        ("path", _) => "The provider's own path; it may hold slashes.",
        ("session", Some(_)) => "The conversation's id.",
        ("terminal", Some(_)) => "The terminal's id.",
        ("service", Some(_)) => "The service's name.",
        ("process", Some(_)) => "The process's id in the list.",
        ("server", _) | ("mcp", Some(_)) => "The MCP server's name in the project.",
        ("run", _) | ("job", Some(_)) => "The run's id.",
        _ => return None,
    })
}
