//! What can be typed, and what the environment says. The only place of the shell that reads either;
//! the names are those of the command line.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};
use url::Url;

/// What `--help` says.
pub(crate) const USAGE: &str = "\
Toft's dashboard in a window of its own.

Usage: toft-desktop [--data DIR | --server URL]

  --data DIR    data folder of the server on this computer; it is started if none runs
                [env: TOFT_DATA] [default: ~/.local/share/toft]
  --server URL  a server somewhere else; you sign in on its page [env: TOFT_URL]
  --help        this text";

/// Which server is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The one of this computer.
    Local {
        /// Its data folder.
        data: PathBuf,
        /// The program that starts it, if one was found.
        toft: Option<PathBuf>,
    },
    /// One that is only spoken to.
    Remote(Url),
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Help,
    Open {
        target: Target,
        /// Where the shell keeps cookies, pages' storage and its own memory.
        own: PathBuf,
    },
}

/// Why nothing was opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgsError {
    #[error("{0} is not known. See --help")]
    Unknown(String),
    #[error("{0} wants a value. See --help")]
    NoValue(&'static str),
    #[error("--server and --data exclude each other: a server elsewhere has its own data folder")]
    Both,
    #[error("{0:?} is no address of a server: it must begin with http:// or https://")]
    NoUrl(String),
    #[error("HOME is not set, so there is no data folder. Give one with --data DIR")]
    NoHome,
}

/// Reads both.
pub(crate) fn read() -> Result<Ask, ArgsError> {
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("toft")));
    resolve(env::args_os().skip(1), &|name| env::var_os(name).filter(|v| !v.is_empty()), beside)
}

fn resolve(
    mut typed: impl Iterator<Item = OsString>,
    var: &dyn Fn(&str) -> Option<OsString>,
    beside: Option<PathBuf>,
) -> Result<Ask, ArgsError> {
    let (mut data, mut server) = (None, None);
    while let Some(word) = typed.next() {
        match word.to_str() {
            Some("--help" | "-h") => return Ok(Ask::Help),
            Some("--data") => data = Some(typed.next().ok_or(ArgsError::NoValue("--data"))?),
            Some("--server") => server = Some(typed.next().ok_or(ArgsError::NoValue("--server"))?),
            _ => return Err(ArgsError::Unknown(word.to_string_lossy().into_owned())),
        }
    }
    if data.is_some() && server.is_some() {
        return Err(ArgsError::Both);
    }
    let share = var("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(var("HOME")?).join(".local/share")));
    let own = share.as_ref().ok_or(ArgsError::NoHome)?.join("toft-desktop");
    // A folder that was typed wins over a server in the environment.
    let server = server.or_else(|| if data.is_none() { var("TOFT_URL") } else { None });
    let target = if let Some(text) = server {
        Target::Remote(address(&text)?)
    } else {
        let data = data.or_else(|| var("TOFT_DATA")).map(PathBuf::from);
        let data = data.or_else(|| Some(share?.join("toft"))).ok_or(ArgsError::NoHome)?;
        let data = std::path::absolute(&data).unwrap_or(data);
        Target::Local { data, toft: program(var, beside) }
    };
    Ok(Ask::Open { target, own })
}

/// The origin of a server; a path has no meaning here.
fn address(text: &OsStr) -> Result<Url, ArgsError> {
    let wrong = || ArgsError::NoUrl(text.to_string_lossy().into_owned());
    let mut url = text.to_str().and_then(|t| Url::parse(t).ok()).ok_or_else(wrong)?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() {
        return Err(wrong());
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// `TOFT_BIN`, else beside this program, else on the path.
fn program(var: &dyn Fn(&str) -> Option<OsString>, beside: Option<PathBuf>) -> Option<PathBuf> {
    if let Some(named) = var("TOFT_BIN") {
        return Some(named.into());
    }
    let on_path = var("PATH");
    let on_path = on_path.iter().flat_map(env::split_paths).map(|dir| dir.join("toft"));
    beside.into_iter().chain(on_path).find(|path| is_file(path))
}

fn is_file(path: &Path) -> bool {
    path.is_absolute() && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(typed: &[&str], vars: &[(&str, &str)]) -> Result<Ask, ArgsError> {
        let var = |name: &str| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
        };
        resolve(typed.iter().map(OsString::from), &var, None)
    }

    fn target(typed: &[&str], vars: &[(&str, &str)]) -> Target {
        match ask(typed, vars).unwrap() {
            Ask::Open { target, .. } => target,
            Ask::Help => panic!("help"),
        }
    }

    fn local(data: &str) -> Target {
        Target::Local { data: data.into(), toft: None }
    }

    const HOME: (&str, &str) = ("HOME", "/home/ada");

    #[test]
    fn the_data_folder_is_that_of_the_command_line() {
        assert_eq!(target(&[], &[HOME]), local("/home/ada/.local/share/toft"));
        assert_eq!(target(&[], &[HOME, ("XDG_DATA_HOME", "/x")]), local("/x/toft"));
        assert_eq!(target(&[], &[HOME, ("TOFT_DATA", "/d")]), local("/d"));
        assert_eq!(target(&["--data", "/e"], &[HOME, ("TOFT_DATA", "/d")]), local("/e"));
    }

    #[test]
    fn what_is_typed_wins_over_the_environment() {
        let url = ("TOFT_URL", "http://far:4000");
        let far = Target::Remote(Url::parse("http://far:4000/").unwrap());
        assert_eq!(target(&[], &[HOME, url]), far);
        assert_eq!(target(&["--data", "/e"], &[HOME, url]), local("/e"));
        let near = Target::Remote(Url::parse("https://near/").unwrap());
        assert_eq!(target(&["--server", "https://near/p?q"], &[HOME, url]), near);
    }

    #[test]
    fn nonsense_is_refused_with_what_to_do() {
        for (typed, says) in [
            (&["--server", "far:4000"][..], "http://"),
            (&["--server", "ftp://far"], "http://"),
            (&["--server", "https://me:pw@far"], "http://"),
            (&["--server"], "wants a value"),
            (&["--data", "/d", "--server", "http://far"], "exclude"),
            (&["up"], "--help"),
        ] {
            let error = ask(typed, &[HOME]).unwrap_err().to_string();
            assert!(error.contains(says), "{typed:?}: {error}");
        }
        assert!(matches!(ask(&[], &[]), Err(ArgsError::NoHome)));
    }
}
