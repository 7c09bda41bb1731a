//! What the first processes of a machine are told: `InitBoot`, `BridgeBoot` and the environment of
//! work processes. Says nothing of walls.

use crate::{backend::StartSpec, places::Places};
use toft_jail::spec::{FD_APP, FD_BRIDGE, FD_INIT};
use toft_model::boot::{BridgeBoot, InitBoot};

/// The port that is taken for the app's until one is detected or set: that of most development
/// servers.
const DEFAULT_APP_PORT: u16 = 3000;
/// Longest host name (`HOST_NAME_MAX` is 64; labels of DNS hold 63).
const HOSTNAME_BYTES_MAX: usize = 63;
/// Names under which programs look for a provider's key. All hold the project token, which is
/// worth something only at the machine's own gateway.
const KEY_NAMES: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "OPENAI_API_KEY",
];

/// Everything that `toft init` reads at its start.
pub(crate) fn init_boot(
    spec: &StartSpec,
    token: &str,
    places: &Places,
    work_files: Vec<String>,
) -> InitBoot {
    InitBoot {
        init_fd: FD_INIT,
        bridge_fd: FD_BRIDGE,
        app_fd: places.has_app_listener.then_some(FD_APP),
        gateway_fds: places.gateway_fds.clone(),
        bridge_argv: places.command_with(&["bridge"]),
        work_env: work_env(spec, token, places),
        awaits_environment: spec.awaits_environment,
        exec_dir: format!("{}/exec", places.log),
        log_fd: places.log_fd,
        read_only_fd: places.read_only_fd,
        work_cgroup_procs: work_files,
        bridge: BridgeBoot {
            project: spec.project.clone(),
            name: spec.name.clone(),
            token: token.to_owned(),
            gateway_url: places.gateway_at.clone(),
            cwd: places.cwd.clone(),
            home: places.home.clone(),
            log_dir: places.log.clone(),
            app_port: DEFAULT_APP_PORT,
            app_url: spec.app_url.clone(),
            path_policy: !places.has_walls,
        },
    }
}

/// A later value of a name wins.
fn work_env(spec: &StartSpec, token: &str, places: &Places) -> Vec<(String, String)> {
    let hosts = if std::path::Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let shell = places.shell.as_deref().unwrap_or(hosts);
    let gateway = &places.gateway_url;
    let own: Vec<(String, String)> = [
        ("PATH", places.path.as_str()),
        ("HOME", &places.user_home),
        ("USER", &places.user),
        ("LOGNAME", &places.user),
        ("SHELL", shell),
        ("LANG", "C.UTF-8"),
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("TOFT_PROJECT", spec.project.as_str()),
        ("TOFT_TOKEN", token),
        ("OPENAI_BASE_URL", &format!("{gateway}/llm/openai/v1")),
        ("ANTHROPIC_BASE_URL", &format!("{gateway}/llm/anthropic")),
        ("GOOGLE_GEMINI_BASE_URL", &format!("{gateway}/llm/google")),
        // Node (24 and later) takes the proxy only when told so.
        ("NODE_USE_ENV_PROXY", "1"),
    ]
    .into_iter()
    .chain(KEY_NAMES.iter().map(|name| (*name, token)))
    .chain(
        ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
            .map(|name| (name, places.proxy_url.as_str())),
    )
    .chain(["NO_PROXY", "no_proxy"].map(|name| (name, "localhost,127.0.0.1,gateway.internal")))
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    places.env.iter().cloned().chain(own).chain(spec.env.iter().cloned()).collect()
}

/// Environment of init and, through it, of the bridge: no token, no keys.
pub(crate) fn init_env(places: &Places) -> Vec<(String, String)> {
    [("PATH", places.path.as_str()), ("HOME", &places.user_home), ("LANG", "C.UTF-8")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// A project's name as a host name; its id when nothing of the name is left.
pub(crate) fn hostname(spec: &StartSpec) -> String {
    let mut out = String::new();
    for c in spec.name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() == HOSTNAME_BYTES_MAX {
            break;
        }
    }
    let name = out.trim_end_matches('-');
    if name.is_empty() { spec.project.to_string() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toft_model::machine::Limits;

    fn spec(name: &str) -> StartSpec {
        StartSpec {
            project: "a23456789bcd".parse().unwrap(),
            name: name.to_owned(),
            limits: Limits::default(),
            app_url: "http://a23456789bcd.localhost:4000".to_owned(),
            env: vec![("LANG".to_owned(), "de_DE.UTF-8".to_owned())],
            awaits_environment: false,
        }
    }

    #[test]
    fn a_name_becomes_a_host_name() {
        for (name, expected) in [
            ("My Shop!", "my-shop"),
            ("  --x--  ", "x"),
            ("Äö", "a23456789bcd"),
            ("", "a23456789bcd"),
        ] {
            assert_eq!(hostname(&spec(name)), expected);
        }
        assert_eq!(hostname(&spec(&"ab ".repeat(60))).len(), 62);
    }

    #[test]
    fn work_processes_find_the_gateway_and_hold_only_the_token() {
        let boot = init_boot(
            &spec("x"),
            "secret-token",
            &Places::confined(vec!["toft".to_owned()]),
            Vec::new(),
        );
        let last = |name: &str| {
            boot.work_env.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
        };
        assert_eq!(last("OPENAI_BASE_URL"), Some("http://gateway.internal/llm/openai/v1"));
        assert_eq!(boot.bridge.gateway_url, "http://127.77.0.1");
        assert_eq!(last("ANTHROPIC_API_KEY"), Some("secret-token"));
        assert_eq!(last("https_proxy"), Some("http://gateway.internal:3128"));
        assert_eq!(last("LANG"), Some("de_DE.UTF-8"));
        for (name, _) in &boot.work_env {
            // Else a secret of this name would take what the machine needs.
            assert!(toft_model::secret::check_name(name).is_err(), "{name}");
        }
        assert!(
            init_env(&Places::confined(vec!["toft".to_owned()]))
                .iter()
                .all(|(_, v)| !v.contains("secret-token"))
        );
    }
}
