//! The actions by name: their arguments, and who does them.

mod dependencies;
mod detect;
mod environment;
mod rollback;
mod scaffold;

use super::{
    Bounds, NO_INSTALLS, PROJECT_ACTIONS,
    files::Files,
    program::{self, Order, Ran},
};
use crate::{
    arguments::{Arguments, Refused},
    host::ToolContext,
    outcome::ToolOutcome,
    paths::shown,
};
use serde_json::{Value, json};

/// All, in the source's order.
pub(super) const ACTIONS: [(&str, Action); 14] = [
    ("detect_project", Action::DetectProject),
    ("secrets_status", Action::SecretsStatus),
    ("secrets_read_env_example", Action::ReadEnvExample),
    ("secrets_sync_env_example", Action::SyncEnvExample),
    ("add_dependencies", Action::AddDependencies),
    ("run_install", Action::Install),
    ("run_next_build", Action::NextBuild),
    ("run_typecheck", Action::Typecheck),
    ("generate_drizzle_migration", Action::DrizzleMigration),
    ("scaffold_authjs_supabase_drizzle", Action::ScaffoldAuth),
    ("scaffold_cron_supabase_daily", Action::ScaffoldCron),
    ("validate_env", Action::ValidateEnv),
    ("rollback_list_commits", Action::ListCommits),
    ("rollback_run", Action::Rollback),
];

const NAMES: &[&str] = &[
    "action",
    "deps",
    "runInstall",
    "includeRecommended",
    "name",
    "limit",
    "confirm",
    "commitSha",
];

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// What kind of project it is.
    DetectProject,
    /// Which secrets are named and which of them are set.
    SecretsStatus,
    /// The file that names them.
    ReadEnvExample,
    /// Names there what the code reads.
    SyncEnvExample,
    /// Adds packages.
    AddDependencies,
    /// Installs them.
    Install,
    /// Builds.
    NextBuild,
    /// Checks types.
    Typecheck,
    /// Has Drizzle make a migration.
    DrizzleMigration,
    /// Auth.js on Supabase by Drizzle.
    ScaffoldAuth,
    /// A daily job of Supabase.
    ScaffoldCron,
    /// Whether all secrets that are named are set.
    ValidateEnv,
    /// The newest commits.
    ListCommits,
    /// Back to one of them.
    Rollback,
}

impl Action {
    /// By its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        ACTIONS.iter().find(|(known, _)| *known == name).map(|(_, action)| *action)
    }

    /// Whether a program works for it.
    pub(super) fn runs_program(self) -> bool {
        match self {
            Self::AddDependencies
            | Self::Install
            | Self::NextBuild
            | Self::Typecheck
            | Self::DrizzleMigration
            | Self::ListCommits
            | Self::Rollback => true,
            Self::DetectProject
            | Self::SecretsStatus
            | Self::ReadEnvExample
            | Self::SyncEnvExample
            | Self::ScaffoldAuth
            | Self::ScaffoldCron
            | Self::ValidateEnv => false,
        }
    }

    /// Whether it only looks.
    fn only_reads(self) -> bool {
        matches!(
            self,
            Self::DetectProject
                | Self::SecretsStatus
                | Self::ReadEnvExample
                | Self::ValidateEnv
                | Self::ListCommits
        )
    }
}

/// What an action came to: what it says, the paths that it changed; a program's own end.
enum Done {
    Said(Value, Vec<std::path::PathBuf>),
    Ran(Box<Ran>, Value, Vec<std::path::PathBuf>),
}

/// Why it was not done, in words for the model.
type Failed = String;

pub(super) async fn run(ctx: &ToolContext, bounds: Bounds, arguments: Value) -> ToolOutcome {
    let mut args = match Arguments::new(PROJECT_ACTIONS, NAMES, arguments) {
        Ok(args) => args,
        Err(refused) => return refused.into(),
    };
    let action = match named(&args) {
        Ok(action) => action,
        Err(refused) => return refused.into(),
    };
    let (name, action) = action;
    if ctx.read_only && !action.only_reads() {
        return ToolOutcome::error(format!(
            "`{name}` is refused: this is plan mode, in which nothing is changed. Put what it would have done into \
             the plan."
        ))
        .details(json!({ "planMode": true }));
    }
    let done = match work(ctx, bounds, action, &mut args).await {
        Ok(done) => done,
        Err(Wrong::Arguments(refused)) => return refused.into(),
        Err(Wrong::Failed(why)) => Done::Said(json!({ "ok": false, "error": why }), Vec::new()),
    };
    let (mut said, changed, ran) = match done {
        Done::Said(said, changed) => (said, changed, None),
        Done::Ran(ran, said, changed) => (said, changed, Some(ran)),
    };
    said["action"] = name.into();
    if !changed.is_empty() {
        let files: Vec<String> = changed.iter().map(|path| shown_of(ctx, path)).collect();
        said["files"] = files.into();
    }
    let outcome = match ran {
        Some(ran) => ran.outcome(&said),
        None => ToolOutcome::text(said.to_string()).details(said),
    };
    ToolOutcome { changed, ..outcome }
}

fn shown_of(ctx: &ToolContext, path: &std::path::Path) -> String {
    let real = ctx.cwd.canonicalize().unwrap_or_else(|_| ctx.cwd.clone());
    match path.strip_prefix(real) {
        Ok(below) => below.display().to_string(),
        Err(_) => shown(ctx, path),
    }
}

/// Nothing was done.
enum Wrong {
    Arguments(Refused),
    Failed(Failed),
}

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        Self::Arguments(refused)
    }
}

impl From<Failed> for Wrong {
    fn from(why: Failed) -> Self {
        Self::Failed(why)
    }
}

fn named(args: &Arguments) -> Result<(&'static str, Action), Refused> {
    let given = args.some_text("action", "which of them")?;
    let found = ACTIONS.iter().find(|(name, _)| *name == given.trim());
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
        Refused::new(format!(
            "{PROJECT_ACTIONS} has no action {given:?}. It has: {}. Nothing was done.",
            names.join(", ")
        ))
    })
}

async fn work(
    ctx: &ToolContext,
    bounds: Bounds,
    action: Action,
    args: &mut Arguments,
) -> Result<Done, Wrong> {
    let mut files = Files::open(&ctx.cwd)?;
    let said = match action {
        Action::DetectProject => detect::project(&files)?,
        Action::SecretsStatus => environment::status(ctx, &files).await?,
        Action::ReadEnvExample => environment::example(&files)?,
        Action::ValidateEnv => environment::validate(ctx, &files).await?,
        Action::SyncEnvExample => {
            let recommended = args.flag("includeRecommended")?;
            environment::sync(&mut files, recommended).await?
        }
        Action::ScaffoldAuth => scaffold::auth(&mut files)?,
        Action::ScaffoldCron => scaffold::cron(&mut files)?,
        Action::AddDependencies => {
            let deps = dependencies::parse(args.list("deps", "the packages")?)?;
            let installs = args.flag("runInstall")?;
            if installs {
                allowed(bounds)?;
            }
            let said = dependencies::add(&mut files, &deps)?;
            if installs {
                let ran = program(ctx, bounds, &files, &["bun", "install"]).await;
                let install = ran.result("bun install");
                let said = json!({ "ok": ran.is_ok(), "added": said["added"], "install": install });
                return Ok(Done::Ran(Box::new(ran), said, files.into_changed()));
            }
            said
        }
        Action::Install => return installed(ctx, bounds, &files, &["bun", "install"]).await,
        Action::NextBuild => return installed(ctx, bounds, &files, &["bun", "run", "build"]).await,
        Action::Typecheck => {
            let argv: &[&str] = if detect::has_script(&files, "typecheck")? {
                &["bun", "run", "typecheck"]
            } else {
                &["bunx", "tsc", "--noEmit"]
            };
            return installed(ctx, bounds, &files, argv).await;
        }
        Action::DrizzleMigration => {
            let name =
                dependencies::migration_name(&args.some_text("name", "the migration's name")?)?;
            if !detect::has_drizzle(&files) {
                return Err(Wrong::Failed(
                    "there is no drizzle.config.ts: scaffold_authjs_supabase_drizzle makes one"
                        .to_owned(),
                ));
            }
            let argv = ["bunx", "drizzle-kit", "generate", "--name", &name];
            return installed(ctx, bounds, &files, &argv).await;
        }
        Action::ListCommits => {
            let limit = args.count("limit")?.unwrap_or(rollback::LIMIT_DEFAULT);
            return Ok(rollback::list(ctx, bounds, &files, limit).await?);
        }
        Action::Rollback => {
            let confirm = args.optional_text("confirm")?;
            let sha =
                args.some_text("commitSha", "the commit: rollback_list_commits names them")?;
            return Ok(rollback::back(ctx, bounds, &files, confirm.as_deref(), &sha).await?);
        }
    };
    Ok(Done::Said(said, files.into_changed()))
}

/// Programs of a project's packages are let run.
fn allowed(bounds: Bounds) -> Result<(), Failed> {
    if bounds.installs {
        return Ok(());
    }
    Err(NO_INSTALLS.to_owned())
}

async fn installed(
    ctx: &ToolContext,
    bounds: Bounds,
    files: &Files,
    argv: &[&str],
) -> Result<Done, Wrong> {
    allowed(bounds)?;
    if !files.has("package.json") {
        return Err(Wrong::Failed("there is no package.json in the project's folder".to_owned()));
    }
    let ran = program(ctx, bounds, files, argv).await;
    let said = ran.result(&argv.join(" "));
    Ok(Done::Ran(Box::new(ran), said, Vec::new()))
}

async fn program(ctx: &ToolContext, bounds: Bounds, files: &Files, argv: &[&str]) -> Ran {
    let order = Order {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        shown: argv.join(" "),
        line: argv.join(" "),
        cwd: files.root(),
        env: Vec::new(),
        limit: None,
    };
    program::run(ctx, bounds, order).await
}
