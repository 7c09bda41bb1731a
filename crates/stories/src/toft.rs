//! A server on a data folder of its own, started from the built binary. Dropping it ends the
//! server and its machines, and then looks for what was left behind.

use crate::{
    lane, ports,
    processes::{self, Process},
    user::User,
};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a step of a story may take before it counts as hung.
pub const STEP_TIMEOUT: Duration = Duration::from_mins(1);

/// How to start.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Variables added to an otherwise empty environment.
    pub env: Vec<(String, String)>,
    /// Arguments after `toft up --data … --listen …`.
    pub args: Vec<String>,
    /// Program and arguments put in front (`setpriv --reuid …`).
    pub before: Vec<String>,
    /// Data folder; a temporary one when absent.
    pub data: Option<PathBuf>,
    /// Loopback address to listen on; 127.0.0.1 when absent.
    pub address: Option<std::net::Ipv4Addr>,
    /// Another copy of the binary.
    pub exe: Option<PathBuf>,
    /// As an ordinary user that is made for it. So are all of a run with `TOFT_STORY_USER`, but for
    /// those that say with `before` who they are.
    pub as_user: bool,
}

/// A running server.
pub struct Toft {
    /// Its data folder.
    pub data: PathBuf,
    /// `http://127.0.0.1:port`, or at the address that was chosen.
    pub base: String,
    /// The CLI's local token: an admin.
    pub token: String,
    /// What `toft up` printed: the sign-in link.
    pub link: String,
    /// Port it listens on.
    pub port: u16,
    start: Start,
    child: Option<Child>,
    http: reqwest::Client,
    _folder: Option<tempfile::TempDir>,
    /// Goes last.
    user: Option<User>,
}

/// The binary under test: `TOFT_BIN`, else the debug build beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TOFT_BIN") {
        return path.into();
    }
    let exe = std::env::current_exe().expect("a test knows its own path");
    let target = exe.ancestors().find(|p| p.ends_with("debug") || p.ends_with("release"));
    target.expect("tests run from the target folder").join("toft")
}

/// A user that everything belongs to which a story made for its server.
fn own_user(start: &mut Start) -> Result<User> {
    let user = User::make()?;
    let given = start.args.iter().chain(start.env.iter().map(|(_, value)| value));
    for path in given.map(Path::new).chain(start.data.as_deref()) {
        user.give(path)?;
    }
    start.exe = Some(user.own(&start.exe.clone().unwrap_or_else(binary))?);
    start.before = user.before();
    start.data.get_or_insert_with(|| user.data());
    Ok(user)
}

impl Toft {
    /// Starts a server and waits until it serves.
    pub async fn start(mut start: Start) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let user = if start.as_user || (lane::as_user() && start.before.is_empty()) {
            Some(own_user(&mut start)?)
        } else {
            None
        };
        if user.is_none() && lane::as_user() {
            lane::skip("an ordinary user", "this story says itself who its server runs as");
        }
        let (data, folder) = if let Some(dir) = &start.data {
            (dir.clone(), None)
        } else {
            let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
            (folder.path().join("data"), Some(folder))
        };
        let mut toft = Self {
            data,
            base: String::new(),
            token: String::new(),
            link: String::new(),
            port: ports::free(),
            start,
            child: None,
            http: reqwest::Client::builder().no_proxy().build()?,
            _folder: folder,
            user,
        };
        toft.up().await?;
        Ok(toft)
    }

    /// Gives the server's user what a story has made for it since.
    pub fn give(&self, path: &Path) -> Result<()> {
        self.user.as_ref().map_or(Ok(()), |user| user.give(path))
    }

    /// Starts the server again on the same data folder and port.
    pub async fn up(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "it runs already");
        let mut argv = self.start.before.clone();
        argv.push(self.exe().display().to_string());
        argv.extend(["up".to_owned(), "--data".to_owned(), self.data.display().to_string()]);
        let address = self.start.address.unwrap_or(std::net::Ipv4Addr::LOCALHOST);
        argv.extend(["--listen".to_owned(), format!("{address}:{}", self.port)]);
        argv.extend(self.start.args.iter().cloned());
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().env("PATH", path_variable());
        command.env("HOME", "/nonexistent").env("TOFT_LOG", "info");
        command.envs(self.start.env.iter().cloned());
        let log = fs::File::options().create(true).append(true).open(self.log_path())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("starting {argv:?}"))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        self.child = Some(child);
        let (tx, rx) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut tx = Some(tx);
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let (Some(at), Some(_)) = (line.find("http://"), tx.as_ref()) {
                    let link = line[at..].split_whitespace().next().unwrap_or_default().to_owned();
                    let _ = tx.take().expect("checked above").send(link);
                }
            }
        });
        let Ok(Ok(link)) = tokio::time::timeout(STEP_TIMEOUT, rx).await else {
            bail!("the server printed no link. Its log: {}", self.log());
        };
        self.link = link;
        let file: Value = serde_json::from_slice(&fs::read(self.data.join("run/server.json"))?)?;
        self.base = format!("http://{address}:{}", self.port);
        file["token"].as_str().context("server.json has a token")?.clone_into(&mut self.token);
        Ok(())
    }

    /// Starts the server again with one variable more, for this run of it only.
    pub async fn up_with(&mut self, name: &str, value: &str) -> Result<()> {
        self.start.env.push((name.to_owned(), value.to_owned()));
        let up = self.up().await;
        self.start.env.pop();
        up
    }

    fn exe(&self) -> PathBuf {
        self.start.exe.clone().unwrap_or_else(binary)
    }

    fn log_path(&self) -> PathBuf {
        let parent = self.data.parent().unwrap_or(Path::new("/tmp"));
        parent.join(format!("server-{}.log", self.port))
    }

    /// Whose the server's processes and files are on the host.
    pub fn uid(&self) -> u32 {
        self.user.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), User::id)
    }

    /// What the server wrote to standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Pid of the server.
    pub fn server_pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// kill -9 of the server; machines and gateway go on.
    pub fn kill_server(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for the end of a server that was told to end, or killed, from outside.
    pub fn await_end(&mut self) -> Result<()> {
        self.reap()
    }

    /// Pid of the gateway of this data folder.
    pub fn gateway_pid(&self) -> Option<u32> {
        let data = self.data.display().to_string();
        processes::all()
            .into_iter()
            .find(|p| {
                p.argv.iter().any(|a| a == "gateway") && p.argv.iter().any(|a| a.contains(&data))
            })
            .map(|p| p.pid)
    }

    /// Pid of a machine's init on the host.
    pub fn init_pid(&self, project: &str) -> Option<u32> {
        let states = self.runs().into_iter().map(|runs| runs.join(project).join("state.json"));
        let state = states.into_iter().find_map(|path| fs::read(path).ok())?;
        let state: Value = serde_json::from_slice(&state).ok()?;
        let pid = u32::try_from(state["init_pid"].as_u64().or(state["initPid"].as_u64())?).ok()?;
        processes::one(pid).map(|p| p.pid)
    }

    /// Folders of the machines that run, one for each backend.
    fn runs(&self) -> Vec<PathBuf> {
        let others = fs::read_dir(self.data.join("backends")).into_iter().flatten().flatten();
        let others = others.map(|one| one.path().join("run/m"));
        std::iter::once(self.data.join("run/m")).chain(others).collect()
    }

    /// All processes of a machine.
    pub fn machine_processes(&self, project: &str) -> Vec<Process> {
        self.init_pid(project).map(processes::tree).unwrap_or_default()
    }

    /// Pid of a machine's bridge on the host.
    pub fn bridge_pid(&self, project: &str) -> Option<u32> {
        self.machine_processes(project)
            .into_iter()
            .find(|p| p.argv.last().is_some_and(|a| a == "bridge"))
            .map(|p| p.pid)
    }

    /// Pid of its bridge on the host, once it runs: a machine serves before that.
    pub async fn bridge(&self, project: &str) -> Result<u32> {
        let end = Instant::now() + STEP_TIMEOUT;
        loop {
            if let Some(pid) = self.bridge_pid(project) {
                return Ok(pid);
            }
            anyhow::ensure!(Instant::now() < end, "{project} has no bridge");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a request as the admin; answers status and JSON body.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.base);
        let mut request =
            self.http.request(method.parse()?, &url).bearer_auth(&self.token).timeout(STEP_TIMEOUT);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await?;
        let value = serde_json::from_slice(&bytes).with_context(|| {
            format!("{method} {path} answered {status} {}", String::from_utf8_lossy(&bytes))
        })?;
        Ok((status, value))
    }

    /// `data` of a request that must succeed.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let (status, mut value) = self.request(method, path, body).await?;
        ensure!((200..300).contains(&status), "{method} {path} answered {status}: {value}");
        Ok(value.get_mut("data").map(Value::take).unwrap_or(value))
    }

    /// Asks until an answer is as wanted; the last one when it never is.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let until = Instant::now() + STEP_TIMEOUT;
        loop {
            let data = self.call("GET", path, None).await?;
            if wanted(&data) {
                return Ok(data);
            }
            ensure!(Instant::now() < until, "{path} stays {data}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a project and answers its id.
    pub async fn new_project(&self, name: &str) -> Result<String> {
        let project = self.call("POST", "/v1/projects", Some(json!({"name": name}))).await?;
        Ok(project["id"].as_str().context("a project has an id")?.to_owned())
    }

    /// Runs a shell command in a machine; answers `{exitCode,stdout,stderr,…}`.
    pub async fn exec(&self, project: &str, command: &str) -> Result<Value> {
        let path = format!("/v1/projects/{project}/exec");
        self.call("POST", &path, Some(json!({"command": command}))).await
    }

    /// Runs a shell command in a project's log folder on the host, as the server's user: what somebody
    /// could do who has taken over the machine's init.
    pub fn in_log_folder(&self, project: &str, command: &str) -> Result<()> {
        let mut argv = self.user.as_ref().map(User::before).unwrap_or_default();
        argv.extend(["sh", "-c", command].map(str::to_owned));
        let folder = self.data.join("logs").join(project);
        let status = Command::new(&argv[0]).args(&argv[1..]).current_dir(folder).status()?;
        ensure!(status.success(), "{command}: {status}");
        Ok(())
    }

    /// Runs `toft` with these arguments against this server.
    pub fn cli(&self, args: &[&str]) -> Result<std::process::Output> {
        let mut argv = self.user.as_ref().map(User::before).unwrap_or_default();
        argv.push(self.exe().display().to_string());
        Command::new(&argv[0])
            .args(&argv[1..])
            .args(["--data", &self.data.display().to_string()])
            .args(args)
            .env_clear()
            .env("PATH", path_variable())
            .stdin(Stdio::null())
            .output()
            .context("running toft")
    }

    /// An HTTP client for requests of another kind.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// `toft down`, then a look for what was left behind. Call it at the end of a story; dropping
    /// alone only cleans up.
    pub fn down(mut self) -> Result<()> {
        let inits: Vec<u32> =
            self.projects_on_disk().iter().filter_map(|p| self.init_pid(p)).collect();
        let out = self.cli(&["down"])?;
        ensure!(out.status.success(), "toft down: {}", String::from_utf8_lossy(&out.stderr));
        self.reap()?;
        for pid in inits {
            ensure!(processes::one(pid).is_none(), "init {pid} outlived `toft down`");
        }
        // The kernel detaches a loop device a moment after its last use.
        let until = Instant::now() + STEP_TIMEOUT;
        loop {
            let left = processes::remains(&self.data);
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < until, "left after `toft down`: {left:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn projects_on_disk(&self) -> Vec<String> {
        let entries = self.runs().into_iter().flat_map(fs::read_dir).flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    fn reap(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let until = Instant::now() + STEP_TIMEOUT;
        while child.try_wait()?.is_none() {
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                bail!("the server did not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Toft {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _ = self.cli(&["down"]);
            let _ = self.reap();
        }
        // A story that failed between a kill and the next start has no server to ask.
        for project in self.projects_on_disk() {
            if let Some(pid) = self.init_pid(&project) {
                processes::kill9(pid);
            }
        }
        if let Some(pid) = self.gateway_pid() {
            processes::kill9(pid);
        }
        unmount_below(&self.data);
    }
}

fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let dir = dir.display().to_string();
    let mut points: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|point| point.starts_with(&dir))
        .collect();
    points.sort_by_key(|p| std::cmp::Reverse(p.len()));
    for point in points {
        let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
    }
}

fn path_variable() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into())
}
