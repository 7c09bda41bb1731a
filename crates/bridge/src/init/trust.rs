//! The authority that programs are to trust beside those of the machine's image: as files that they only
//! read, on no disk of the project, and as the variables by which programs find them. The image's own
//! certificates stay as they are, so a program that looks nowhere else does not know the authority.

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat, openat2, renameat,
        unlinkat,
    },
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::Path,
};

/// Our folder at the place.
const FOLDER: &str = "toft-trust";
/// Where a machine of its own has a place in memory that all of its users can read.
pub(super) const OWN: &str = "/run";
/// The authority alone: for programs that have a list of their own and add to it.
const ALONE: &str = "authority.pem";
/// The image's authorities and this one: for programs that take one list.
const ALL: &str = "all.pem";
/// Variables of programs that add to their list.
const ADD: &[&str] = &["NODE_EXTRA_CA_CERTS", "DENO_CERT"];
/// Of OpenSSL (also Python, Ruby, PHP) and Go: in place of the image's list, beside its folder of certificates.
const SYSTEM: &str = "SSL_CERT_FILE";
/// Of curl; Git; Python's requests; pip; Cargo; the clients of AWS. In place of every other list, also of one
/// that is part of the program.
const REPLACE: &[&str] = &[
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
];
/// Where distributions keep their list.
const IMAGES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];
/// Such lists have 250 KiB.
const LIST_BYTES_MAX: u64 = 4 << 20;

/// Writes the files below `own`, which all users of the machine may read, or where there is no such folder
/// below `log`, which programs see at `shown`; the variables that name them.
pub(super) fn write(
    own: Option<&Path>,
    (log, shown): (&Path, &Path),
    work_env: &[(String, String)],
    authority: &str,
) -> io::Result<Vec<(String, String)>> {
    let named = work_env.iter().filter(|(name, _)| name == SYSTEM);
    let mut places = named.map(|(_, place)| place.as_str()).chain(IMAGES.iter().copied());
    let image = places.find_map(|place| list(Path::new(place)).ok());
    if image.is_none() {
        tracing::warn!(
            "the machine has no list of certificates: {} are not set, since programs would trust no other \
             authority than the project's; install `ca-certificates` in the image, or set them by hand",
            REPLACE.join(", ")
        );
    }
    put(own, (log, shown), image, authority)
}

/// The same, with the image's list if it has one.
fn put(
    own: Option<&Path>,
    (log, shown): (&Path, &Path),
    image: Option<Vec<u8>>,
    authority: &str,
) -> io::Result<Vec<(String, String)>> {
    // Alone the authority would shut programs out that find certificates elsewhere.
    let replace_with_all = if image.is_some() { REPLACE } else { &[] };
    let mut all = image.unwrap_or_default();
    if !all.is_empty() && !all.ends_with(b"\n") {
        all.push(b'\n');
    }
    all.extend_from_slice(authority.as_bytes());
    let below = |place: &Path, resolve| -> io::Result<()> {
        let folder = folder(place, resolve)?;
        replace(&folder, ALONE, authority.as_bytes())?;
        replace(&folder, ALL, &all)
    };
    let shown = match own {
        // Programs that are root can change what lies there, so nothing of it is followed.
        Some(own) if below(own, ResolveFlags::NO_SYMLINKS).is_ok() => own,
        _ => {
            // By its descriptor, which is a link of /proc.
            below(log, ResolveFlags::empty())?;
            shown
        }
    };
    let variable = |name: &&str, file: &str| {
        ((*name).to_owned(), shown.join(FOLDER).join(file).display().to_string())
    };
    let add = ADD.iter().map(|name| variable(name, ALONE));
    let all = [SYSTEM].iter().chain(replace_with_all).map(|name| variable(name, ALL));
    Ok(add.chain(all).collect())
}

/// Our folder at a place, made if need be.
fn folder(place: &Path, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    let open = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let place = openat2(CWD, place, open, Mode::empty(), resolve)?;
    match mkdirat(&place, FOLDER, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let open = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = openat2(&place, FOLDER, open, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    fchmod(&folder, Mode::from_raw_mode(0o755))?;
    Ok(folder)
}

/// A list of certificates. Programs can put anything in its place; what is no file of a disk is not read,
/// so that nothing of this process gets into what they read.
fn list(path: &Path) -> io::Result<Vec<u8>> {
    let refused = || io::Error::from(io::ErrorKind::InvalidData);
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    // Files of /proc have no length.
    if !about.is_file() || about.len() == 0 || about.len() > LIST_BYTES_MAX {
        return Err(refused());
    }
    let mut bytes = Vec::new();
    file.take(LIST_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| refused())?;
    if text.contains("-----BEGIN CERTIFICATE-----") { Ok(bytes) } else { Err(refused()) }
}

/// At no moment is there half a file.
fn replace(folder: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let next = format!("{name}.next");
    match unlinkat(folder, &next, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(folder, &next, new, Mode::from_raw_mode(0o644))?;
    fchmod(&file, Mode::from_raw_mode(0o644))?;
    File::from(file).write_all(bytes)?;
    Ok(renameat(folder, &next, folder, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n";

    #[test]
    fn the_list_is_that_of_the_image_and_one_more() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image.pem");
        fs::write(&image, "-----BEGIN CERTIFICATE-----\ntheirs\n-----END CERTIFICATE-----")
            .unwrap();
        let env = vec![("SSL_CERT_FILE".to_owned(), image.display().to_string())];
        let log = (dir.path(), Path::new("/shown"));
        let vars = write(None, log, &env, AUTHORITY).unwrap();
        assert!(vars.contains(&("SSL_CERT_FILE".into(), "/shown/toft-trust/all.pem".into())));
        assert!(vars.contains(&("PIP_CERT".into(), "/shown/toft-trust/all.pem".into())));
        assert!(
            vars.contains(&(
                "NODE_EXTRA_CA_CERTS".into(),
                "/shown/toft-trust/authority.pem".into()
            ))
        );
        let all = fs::read_to_string(dir.path().join("toft-trust/all.pem")).unwrap();
        assert!(all.contains("theirs") && all.ends_with(AUTHORITY), "{all}");
        assert_eq!(
            fs::read_to_string(dir.path().join("toft-trust/authority.pem")).unwrap(),
            AUTHORITY
        );
        assert_eq!(fs::read_dir(dir.path().join("toft-trust")).unwrap().count(), 2);
    }

    #[test]
    fn without_a_list_programs_that_bring_their_own_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let vars = put(None, (dir.path(), Path::new("/shown")), None, AUTHORITY).unwrap();
        let names: Vec<&str> = vars.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["NODE_EXTRA_CA_CERTS", "DENO_CERT", "SSL_CERT_FILE"]);
        let all = fs::read_to_string(dir.path().join("toft-trust/all.pem")).unwrap();
        assert_eq!(all, AUTHORITY);
    }

    #[test]
    fn what_programs_put_in_its_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (own, log) = (dir.path().join("own"), dir.path().join("log"));
        let precious = log.join("events.jsonl");
        for folder in [&own, &log] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(&precious, "kept").unwrap();
        let told = |own: &Path| {
            let vars = write(Some(own), (&log, Path::new("/shown")), &[], AUTHORITY).unwrap();
            vars[0].1.clone()
        };
        assert_eq!(told(&own), own.join("toft-trust/authority.pem").display().to_string());
        // A link where a file is to be, and where a folder is to be: the first is taken away.
        for name in ["all.pem", "all.pem.next", "authority.pem.next"] {
            let path = own.join("toft-trust").join(name);
            let _ = fs::remove_file(&path);
            symlink(&precious, path).unwrap();
        }
        assert_eq!(told(&own), own.join("toft-trust/authority.pem").display().to_string());
        fs::remove_dir_all(own.join("toft-trust")).unwrap();
        symlink(&log, own.join("toft-trust")).unwrap();
        assert_eq!(told(&own), "/shown/toft-trust/authority.pem");
        let link = dir.path().join("link");
        symlink(&own, &link).unwrap();
        assert_eq!(told(&link), "/shown/toft-trust/authority.pem");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
        assert!(!log.join("all.pem").exists());
    }

    #[test]
    fn what_is_no_list_of_a_disk_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink("/proc/self/environ", &link).unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "root:x:0:0").unwrap();
        for path in [&link, &other, &dir.path().to_owned(), &dir.path().join("none")] {
            assert!(list(path).is_err(), "{path:?}");
        }
    }
}
