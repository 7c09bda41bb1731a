//! The system prompt. Built from facts that do not change while a project lives, so that every
//! request of a session begins with the same bytes and provider caches hit: no clock, no state.

use std::path::Path;

/// Largest part of one `AGENTS.md` that goes into the prompt; about 8,000 tokens.
const AGENTS_FILE_BYTES_MAX: usize = 32 * 1024;

/// All of them together.
const AGENTS_BYTES_MAX: usize = 64 * 1024;

/// Names looked for in each folder; the first that exists counts (Pi's order).
const AGENTS_FILES: [&str; 3] = ["AGENTS.override.md", "AGENTS.md", "CLAUDE.md"];

/// What follows it for a task.
pub(crate) const OF_TASKS: &str = "\n\n# Your task\nYou do one piece of work for another agent. Your last message \
     is all that it gets: say there what you found or did, with paths and facts, and what is left. You cannot ask \
     anybody; decide, and say what you decided.";

/// What the prompt says of the machine.
#[derive(Debug, Clone)]
pub struct PromptFacts {
    /// Name of the project.
    pub project: String,
    /// Where the agent works.
    pub cwd: String,
    /// How the app is reached from a browser.
    pub app_url: String,
    /// Port that is shown at `app_url` until another is seen.
    pub app_port: u16,
    /// The inspect database's file.
    pub inspect_db: String,
}

/// The prompt: `facts`, then what `AGENTS.md` files from the root down to the working folder say.
/// Reads files: blocks.
pub(crate) fn system_prompt(facts: &PromptFacts) -> String {
    let PromptFacts { project, cwd, app_url, app_port, inspect_db } = facts;
    let mut prompt = format!(
        "You are the general-purpose agent of the project \"{project}\". You work in a Linux machine of \
         your own that belongs to this project alone: build software, analyse data, research, automate. \
         Do the work yourself with the tools; act instead of describing what could be done, check that \
         results really work, and say plainly when something failed.\n\
         \n\
         # This machine\n\
         - Work in `{cwd}`. Files persist. You are root: install and change what you need; the environment \
         already has the proxy to the internet. A 403 `egress_denied`, a TLS alert `access denied` or a \
         connection that is reset at once means that this project may not reach that host: seek no way \
         around it, name the host to the person, who can allow it in the panel Network.\n\
         - Apps: serve on port {app_port} if you can (bind 0.0.0.0); another port is detected from the \
         server's output. People open the app at {app_url}. Never tell them a localhost address.\n\
         - Servers and workers that are to stay: declare a service (below); Toft runs it, also after \
         crashes and sleep. Other long-running programs: in the background with the bash tool. Check that \
         they answer.\n\
         - Secrets are environment variables. Never print them or write them to files. Missing ones: \
         `ask_secrets`, never ask for values in the chat.\n\
         \n\
         # What people see\n\
         People watch this project in a dashboard. Its sidebar shows the SQLite database `{inspect_db}`; \
         write rows with `sqlite3` or any language when you make or change something worth showing \
         (`id` is a short name that you choose; insert or replace):\n\
         - services(id, name, type app|api|cron|worker, port, schedule, status running|stopped|error, \
         description, command, cwd, env JSON object, restart always|on-failure|never)\n\
         - integrations(id, name, status connected|error|disconnected, secrets JSON array of names, description)\n\
         - assets(id, name, type document|spreadsheet|image|data, path, description)\n\
         A service with a `command` is started by Toft while its status is 'running' and stopped while it \
         is 'stopped'; `port` is given to it as PORT. See how it does with \
         `curl -s -H \"Authorization: Bearer $TOFT_TOKEN\" localhost:8080/toft/services` (also \
         `/toft/services/ID/log`, and POST `/toft/services/ID/restart`).\n\
         Call `notify_dashboard` when a significant piece of work is done; with refreshIframe true when an \
         open app should reload.\n\
         \n\
         # Style\n\
         Be brief. Answer in the language of the person. Read files before you change them; prefer `edit` \
         to rewriting. Independent reads can be asked for in one message."
    );
    for (path, text) in agents_files(Path::new(cwd)) {
        prompt.push_str("\n\n# Instructions from ");
        prompt.push_str(&path);
        prompt.push_str("\n\n");
        prompt.push_str(&text);
    }
    prompt
}

fn agents_files(cwd: &Path) -> Vec<(String, String)> {
    let mut folders: Vec<&Path> = cwd.ancestors().collect();
    folders.reverse();
    let mut left = AGENTS_BYTES_MAX;
    let mut files = Vec::new();
    for folder in folders {
        let found = AGENTS_FILES.iter().find_map(|name| {
            let path = folder.join(name);
            Some((path.display().to_string(), read_part(&path, left.min(AGENTS_FILE_BYTES_MAX))?))
        });
        if let Some((path, text)) = found {
            left -= text.len().min(left);
            if !text.trim().is_empty() {
                files.push((path, text));
            }
        }
    }
    files
}

/// The text of a file, or its beginning with a word that there is more. Blocks.
pub(crate) fn read_part(path: &Path, bytes_max: usize) -> Option<String> {
    use std::io::Read as _;
    // A named pipe or device of that name must not hang the agent, and opening a pipe waits for its writer.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).ok()?;
    let cut = bytes.len() > bytes_max;
    bytes.truncate(bytes_max);
    let mut text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    if cut {
        text.push_str("\n[the rest of this file was left out: it is too long]");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(cwd: &Path) -> PromptFacts {
        PromptFacts {
            project: "Sales".into(),
            cwd: cwd.display().to_string(),
            app_url: "http://a.localhost:4000".into(),
            app_port: 3000,
            inspect_db: "/home/starter/inspect.db".into(),
        }
    }

    #[test]
    fn the_prompt_is_short_and_always_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let prompt = system_prompt(&facts(dir.path()));
        assert_eq!(prompt, system_prompt(&facts(dir.path())));
        assert!(prompt.len() / 4 < 800, "{} tokens", prompt.len() / 4);
        for needed in ["Sales", "3000", "http://a.localhost:4000", "/home/starter/inspect.db"] {
            assert!(prompt.contains(needed), "{needed}");
        }
    }

    #[test]
    fn instructions_of_outer_folders_come_first_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(dir.path().join("AGENTS.md"), "outer rule").unwrap();
        std::fs::write(inner.join("CLAUDE.md"), "not this").unwrap();
        std::fs::write(inner.join("AGENTS.md"), format!("inner rule {}", "x".repeat(40_000)))
            .unwrap();
        let prompt = system_prompt(&facts(&inner));
        assert!(prompt.find("outer rule").unwrap() < prompt.find("inner rule").unwrap());
        assert!(!prompt.contains("not this"));
        assert!(prompt.contains("it is too long") && prompt.len() < 40_000);
    }
}
