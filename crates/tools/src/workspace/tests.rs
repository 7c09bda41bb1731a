//! Both tools on real files, real git and real programs; `bun` itself is a small program that says what it was
//! asked, since no test may need the network.

use super::*;
use crate::{host::Shell as _, outcome::ToolOutcome, testing::Bench};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};
use toft_model::{event::OutputStream, run::ACTIONS};

/// Says its arguments, a variable, its folder; and on the other stream one word.
const BUN: &str = "#!/bin/sh\necho \"$(basename \"$0\") $* NAME=$NAME in $(basename \"$PWD\")\"\necho aside >&2\n\
                   case $1 in fail) exit 3 ;; sleep) sleep 60 ;; flood) yes | head -c 100000 ;;\n\
                   parts) printf 'h\\303'; sleep 0.1; printf '\\251llo\\n' ;; esac\n";

fn bench_with(rules: &RunRules) -> Bench {
    let mut bench = Bench::new();
    for tool in tools(rules) {
        bench.toolbox = bench.toolbox.clone().with(tool);
    }
    let programs = bench.path("../programs");
    std::fs::create_dir_all(&programs).unwrap();
    for name in ["bun", "bunx"] {
        let path = programs.join(name);
        std::fs::write(&path, BUN).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    bench.shell.set_env("PATH", &format!("{}:{path}", programs.display()));
    bench
}

fn bench() -> Bench {
    bench_with(&RunRules::default())
}

/// What an answer says; it must be one.
fn answer(outcome: &ToolOutcome) -> Value {
    assert!(!outcome.is_error, "{}", outcome.said());
    serde_json::from_str(&outcome.said()).unwrap()
}

async fn cmd(bench: &Bench, arguments: Value) -> Value {
    answer(&bench.call(SANDBOX_CMD, arguments).await)
}

async fn act(bench: &Bench, arguments: Value) -> Value {
    answer(&bench.call(PROJECT_ACTIONS, arguments).await)
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").current_dir(at).args(identity).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_program_runs_without_a_shell_and_both_streams_are_told_apart() {
    let bench = bench();
    bench.write("web/x.ts", "");
    let asked = json!({"cmd": "bun run 'a b'", "cwd": "web", "envs": {"NAME": "x y"}});
    assert_eq!(
        cmd(&bench, asked).await,
        json!({"ok": true, "executedCmd": "bun run 'a b'", "exitCode": 0,
               "stdout": "bun run a b NAME=x y in web\n", "stderr": "aside\n"})
    );
    let failed = cmd(&bench, json!({"cmd": "bunx fail"})).await;
    assert_eq!((&failed["ok"], &failed["exitCode"]), (&json!(false), &json!(3)));
    assert_eq!(failed["stdout"], "bunx fail NAME= in project\n");
    assert!(cmd(&bench, json!({"cmd": "mkdir -p a/b 'c d'"})).await["ok"] == true);
    assert!(bench.path("a/b").is_dir() && bench.path("c d").is_dir());
    assert!(cmd(&bench, json!({"cmd": "rm -rf a *"})).await["ok"] == true);
    assert!(
        !bench.path("a").exists() && bench.path("c d").is_dir(),
        "`*` is no pattern without a shell"
    );
}

#[tokio::test]
async fn a_denied_command_is_an_answer_and_nothing_is_run() {
    let bench = bench();
    bench.write("kept", "x");
    bench.write(".git/HEAD", "x");
    std::os::unix::fs::symlink("/tmp", bench.path("out")).unwrap();
    std::os::unix::fs::symlink(".git", bench.path("history")).unwrap();
    for (arguments, part) in [
        (json!({"cmd": "rm kept; rm kept"}), "without a shell"),
        (json!({"cmd": "node -e x"}), "bun, bunx, mkdir and rm"),
        (json!({"cmd": "rm -rf .git"}), "git's own"),
        (json!({"cmd": "rm -rf /tmp"}), "outside"),
        (json!({"cmd": "rm -rf out/x"}), "outside"),
        (json!({"cmd": "rm -rf a/../out/x"}), "outside"),
        (json!({"cmd": "rm -rf out/"}), "outside"),
        (json!({"cmd": "rm -rf out/."}), "outside"),
        (json!({"cmd": "rm -rf history/"}), "git's own"),
        (json!({"cmd": "rm history/HEAD"}), "git's own"),
        (json!({"cmd": "rm HEAD", "cwd": "history"}), "git's own"),
        (json!({"cmd": "rm -rf .toft"}), "Toft's own"),
        (json!({"cmd": "bun x", "cwd": "../.."}), "outside"),
        (json!({"cmd": "bun x", "cwd": "out"}), "leads out"),
        (json!({"cmd": "bun x", "cwd": "nowhere"}), "is not there"),
        (json!({"cmd": "bun x", "envs": {"A": "1", "PATH": "/x"}}), "PATH says which code runs"),
        (json!({"cmd": "bun x", "envs": {"LD_PRELOAD": "x"}}), "LD_PRELOAD says"),
    ] {
        let said = cmd(&bench, arguments.clone()).await;
        let error = said["error"].as_str().unwrap();
        assert!(said["ok"] == false && said["exitCode"].is_null(), "{arguments}: {said}");
        assert!(error.starts_with("Not allowed") && error.contains(part), "{arguments}: {error}");
    }
    assert!(bench.path("kept").exists() && bench.shell.list().await.unwrap().is_empty());
    for envs in [json!({"a-b": "x"}), json!({"A": []})] {
        let refused = bench.call(SANDBOX_CMD, json!({"cmd": "bun x", "envs": envs})).await;
        assert!(refused.is_error && refused.said().contains("Nothing was done"), "{envs}");
    }
    let reading = bench.reading("r", SANDBOX_CMD, json!({"cmd": "bun x"})).await;
    assert!(reading.is_error && reading.said().contains("plan mode"));
    assert_eq!(reading.details.unwrap()["planMode"], true);
}

#[tokio::test]
async fn a_program_ends_at_its_time_limit_and_says_no_more_than_it_may() {
    let bench =
        bench_with(&RunRules { cmd_timeout_ms: 300, output_chars_max: 50, ..RunRules::default() });
    let slow = cmd(&bench, json!({"cmd": "bun sleep"})).await;
    assert!(slow["error"].as_str().unwrap().contains("time limit of 0.3 seconds"), "{slow}");
    assert_eq!(slow["ok"], false);
    let flood = cmd(&bench, json!({"cmd": "bun flood", "timeoutMs": 60_000})).await;
    let text = flood["stdout"].as_str().unwrap();
    assert!(text.starts_with("[only the last 50 characters]\n") && text.len() < 100, "{text}");
}

#[tokio::test]
async fn the_same_call_again_finds_the_same_program_and_a_stop_ends_it() {
    let bench = bench();
    let first = bench.call_as("once", SANDBOX_CMD, json!({"cmd": "bun x"})).await;
    assert_eq!(first, bench.call_as("once", SANDBOX_CMD, json!({"cmd": "bun x"})).await);
    assert_eq!(bench.shell.list().await.unwrap().len(), 1);
    bench.shell.lose_after_bytes(1);
    let taken_up = cmd(&bench, json!({"cmd": "bun x"})).await;
    assert_eq!(taken_up["stdout"], "bun x NAME= in project\n", "nothing is there twice");
    let (ctx, _updates) = bench.context("stopped");
    let cancel = ctx.cancel.clone();
    let (stopped, ()) =
        tokio::join!(bench.toolbox.run(SANDBOX_CMD, &ctx, json!({"cmd": "bun sleep"})), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            cancel.cancel();
        });
    assert!(stopped.is_error && stopped.said().contains("Stopped by a person"));
}

#[tokio::test]
async fn people_see_both_streams_apart_as_they_come_and_nothing_twice() {
    let bench = bench();
    bench.shell.lose_after_bytes(4);
    let (ctx, mut updates) = bench.context("seen");
    let ran = answer(&bench.toolbox.run(SANDBOX_CMD, &ctx, json!({"cmd": "bun parts"})).await);
    drop(ctx);
    let (mut out, mut errors) = (String::new(), String::new());
    while let Ok(update) = updates.try_recv() {
        let into = match update.stream {
            OutputStream::Stdout => &mut out,
            OutputStream::Stderr => &mut errors,
        };
        into.push_str(&update.text);
    }
    assert_eq!(
        out, "bun parts NAME= in project\nh\u{e9}llo\n",
        "a cut character is whole, and once"
    );
    assert_eq!(errors, "aside\n");
    assert_eq!((&ran["stdout"], &ran["stderr"]), (&json!(out), &json!(errors)));
}

#[test]
fn the_prompt_pays_little_for_them() {
    let specs =
        tools(&RunRules::default()).map(|tool| serde_json::to_string(&tool.spec()).unwrap().len());
    assert!(specs.iter().sum::<usize>() <= 1_600, "{specs:?} bytes of each prompt of a run");
}

#[tokio::test]
async fn every_action_of_the_source_answers() {
    let bench = bench();
    assert_eq!(actions::ACTIONS.map(|(name, _)| name), ACTIONS);
    for name in ACTIONS {
        let given =
            json!({"action": name, "deps": [{"name": "x"}], "name": "m", "commitSha": "abcdef1"});
        assert_eq!(act(&bench, given).await["action"], name, "in an empty folder too");
    }
    let unknown = bench.call(PROJECT_ACTIONS, json!({"action": "fly"})).await;
    assert!(unknown.is_error && unknown.said().contains("rollback_run"));
}

#[tokio::test]
async fn a_project_is_known_by_its_files() {
    let bench = bench();
    let empty = act(&bench, json!({"action": "detect_project"})).await;
    assert_eq!((&empty["hasPackageJson"], &empty["isNext"]), (&json!(false), &json!(false)));
    bench.write(
        "package.json",
        r#"{"name":"shop","scripts":{"build":"next build"},"dependencies":{"next":"15"}}"#,
    );
    bench.write("bun.lock", "");
    bench.write("src/app/page.tsx", "");
    bench.write("tsconfig.json", "{}");
    let found = act(&bench, json!({"action": "detect_project"})).await;
    for (field, value) in [
        ("name", json!("shop")),
        ("packageManager", json!("bun")),
        ("isNext", json!(true)),
        ("nextVersion", json!("15")),
        ("router", json!("app")),
        ("isTypescript", json!(true)),
        ("hasDrizzle", json!(false)),
        ("scripts", json!({"build": "next build"})),
    ] {
        assert_eq!(found[field], value, "{field} of {found}");
    }
    bench.write("package.json", "[");
    let broken = act(&bench, json!({"action": "detect_project"})).await;
    assert!(broken["ok"] == false && broken["error"].as_str().unwrap().contains("no JSON"));
}

#[tokio::test]
async fn secrets_are_named_and_never_read() {
    let bench = bench();
    bench.secrets.set("AUTH_SECRET", "s3cret-canary");
    bench.write(".env", "DATABASE_URL=s3cret-canary\n");
    bench.write(
        "app/db.ts",
        "process.env.DATABASE_URL; process.env['STRIPE_KEY']; process.env.NODE_ENV; process.env.x",
    );
    bench.write("node_modules/p/i.js", "process.env.OF_A_PACKAGE");
    bench.write("package.json", r#"{"dependencies":{"next-auth":"5"}}"#);
    let none = act(&bench, json!({"action": "secrets_read_env_example"})).await;
    assert!(
        none["ok"] == false && none["error"].as_str().unwrap().contains("secrets_sync_env_example")
    );
    assert_eq!(act(&bench, json!({"action": "validate_env"})).await["ok"], false);
    let synced = act(&bench, json!({"action": "secrets_sync_env_example"})).await;
    assert_eq!(synced["added"], json!(["DATABASE_URL", "STRIPE_KEY"]));
    assert_eq!(synced["files"], json!([".env.example"]));
    let more = json!({"action": "secrets_sync_env_example", "includeRecommended": true});
    assert_eq!(act(&bench, more.clone()).await["added"], json!(["AUTH_SECRET", "AUTH_URL"]));
    assert_eq!(act(&bench, more).await["added"], json!([]), "nothing is named twice");
    assert_eq!(bench.read(".env.example"), "DATABASE_URL=\nSTRIPE_KEY=\nAUTH_SECRET=\nAUTH_URL=\n");
    let status = act(&bench, json!({"action": "secrets_status"})).await;
    assert_eq!(status["set"], json!(["AUTH_SECRET"]));
    assert_eq!(status["missing"], json!(["DATABASE_URL", "STRIPE_KEY", "AUTH_URL"]));
    let wrong = act(&bench, json!({"action": "validate_env"})).await;
    assert!(wrong["ok"] == false && wrong["error"].as_str().unwrap().contains("STRIPE_KEY"));
    for name in ["DATABASE_URL", "STRIPE_KEY", "AUTH_URL"] {
        bench.secrets.set(name, "s3cret-canary");
    }
    assert_eq!(act(&bench, json!({"action": "validate_env"})).await["ok"], true);
    let example = act(&bench, json!({"action": "secrets_read_env_example"})).await;
    assert!(example["content"].as_str().unwrap().contains("STRIPE_KEY=\n"));
    for said in [status, wrong, example] {
        assert!(!said.to_string().contains("canary"), "{said}");
    }
}

#[tokio::test]
async fn packages_are_added_where_they_belong_and_the_rest_stays_in_its_order() {
    let bench = bench();
    bench.write("package.json", r#"{"name":"x","scripts":{"z":"1","a":"2"},"dependencies":{"zod":"3"},"devDependencies":{"vite":"5"}}"#);
    let deps = json!([{"name": "@auth/core", "version": "^0.40.0"}, {"name": "zod", "dev": true}]);
    let added = act(&bench, json!({"action": "add_dependencies", "deps": deps})).await;
    assert_eq!(added["added"][1], json!({"name": "zod", "version": "latest", "dev": true}));
    let package: Value = serde_json::from_str(&bench.read("package.json")).unwrap();
    assert_eq!(package["dependencies"], json!({"@auth/core": "^0.40.0"}));
    assert_eq!(package["devDependencies"], json!({"vite": "5", "zod": "latest"}));
    assert!(
        bench.read("package.json").find("\"z\"").unwrap()
            < bench.read("package.json").find("\"a\"").unwrap()
    );
    let also = json!({"action": "add_dependencies", "deps": [{"name": "ms"}], "runInstall": true});
    let installed = act(&bench, also).await;
    assert_eq!(installed["install"]["stdout"], "bun install NAME= in project\n");
    for (name, version) in [
        ("../evil", "1"),
        ("A", "1"),
        ("", "1"),
        ("x", "file:../y"),
        ("x", "https://e/x.tgz"),
        ("x", "$(y)"),
    ] {
        let deps = json!([{"name": name, "version": version}]);
        let refused =
            bench.call(PROJECT_ACTIONS, json!({"action": "add_dependencies", "deps": deps})).await;
        assert!(
            refused.is_error && refused.said().contains("Nothing was done"),
            "{name} {version}"
        );
    }
}

#[tokio::test]
async fn installing_building_and_checking_types_are_programs_that_may_be_forbidden() {
    let bench = bench();
    bench.write("package.json", r#"{"scripts":{}}"#);
    for (action, ran) in [
        ("run_install", "bun install"),
        ("run_next_build", "bun run build"),
        ("run_typecheck", "bunx tsc --noEmit"),
    ] {
        assert_eq!(act(&bench, json!({"action": action})).await["executedCmd"], ran);
    }
    bench.write("package.json", r#"{"scripts":{"typecheck":"tsc"}}"#);
    assert_eq!(
        act(&bench, json!({"action": "run_typecheck"})).await["executedCmd"],
        "bun run typecheck"
    );
    bench.write("drizzle.config.ts", "");
    let migrated =
        act(&bench, json!({"action": "generate_drizzle_migration", "name": "first"})).await;
    assert_eq!(migrated["executedCmd"], "bunx drizzle-kit generate --name first");
    let odd = bench
        .call(PROJECT_ACTIONS, json!({"action": "generate_drizzle_migration", "name": "--x"}))
        .await;
    assert!(odd.is_error);

    let none = bench_with(&RunRules { installs: false, ..RunRules::default() });
    none.write("package.json", "{}");
    for cmd in ["bun run build", "bunx tsc"] {
        let said = answer(&none.call(SANDBOX_CMD, json!({ "cmd": cmd })).await);
        assert!(said["error"].as_str().unwrap().contains("ALLOW_HOST_INSTALLS"), "{said}");
    }
    let said = answer(&none.call(RUN_CODE, json!({"code": "print(1)"})).await);
    assert!(said["error"].as_str().unwrap().contains("ALLOW_HOST_INSTALLS"), "{said}");
    for given in [
        json!({"action": "run_install"}),
        json!({"action": "run_next_build"}),
        json!({"action": "run_typecheck"}),
        json!({"action": "add_dependencies", "deps": ["x"], "runInstall": true}),
    ] {
        let said = act(&none, given).await;
        assert!(said["error"].as_str().unwrap().contains("ALLOW_HOST_INSTALLS"), "{said}");
    }
    assert!(none.read("package.json") == "{}" && none.shell.list().await.unwrap().is_empty());
    assert_eq!(cmd(&none, json!({"cmd": "mkdir a"})).await["ok"], true, "that runs nobody's code");
}

#[tokio::test]
async fn a_piece_of_code_runs_in_its_language_in_the_projects_folder() {
    let bench = bench();
    bench.write("there", "");
    let code =
        "import os, sys\nprint(os.listdir('.'), 6 * 7)\nprint('it', file=sys.stderr)\nsys.exit(3)";
    let said = answer(&bench.call(RUN_CODE, json!({ "code": code })).await);
    let shown = "python3 -c import os, sys print(os.listdir('.'), 6 * 7) print('it', file=sys.stderr) sys.ex";
    assert_eq!(
        said,
        json!({"ok": false, "executedCmd": shown, "exitCode": 3,
               "stdout": "['there'] 42\n", "stderr": "it\n"})
    );
    let bash = json!({"code": "echo $((6 * 7))", "language": "bash"});
    assert_eq!(answer(&bench.call(RUN_CODE, bash).await)["stdout"], "42\n");
    let typescript = json!({"code": "1 as number", "language": "typescript"});
    let said = answer(&bench.call(RUN_CODE, typescript).await);
    assert_eq!(said["stdout"], "bun -e 1 as number NAME= in project\n");
    let slow = json!({"code": "import time; time.sleep(60)", "timeoutMs": 100});
    let said = answer(&bench.call(RUN_CODE, slow).await);
    assert!(
        said["ok"] == false && said["error"].as_str().unwrap().contains("time limit"),
        "{said}"
    );
    for (arguments, part) in [
        (json!({"code": "1", "language": "cobol"}), "no language \"cobol\""),
        (json!({"code": "x".repeat(200_000)}), "at most 102400 bytes"),
        (json!({}), "code"),
    ] {
        let refused = bench.call(RUN_CODE, arguments).await;
        assert!(refused.is_error && refused.said().contains(part), "{}", refused.said());
    }
    let reading = bench.reading("r", RUN_CODE, json!({ "code": code })).await;
    assert!(reading.is_error && reading.details.unwrap()["planMode"] == true);
    assert_eq!(bench.toolbox.judged_as(RUN_CODE), ["run_code", "bash"]);
    // Rules see it as the line that would do the same.
    let about = |arguments: Value| match bench.toolbox.get(RUN_CODE).unwrap().about(&arguments) {
        crate::about::About::Command(line) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(about(json!({"code": "print('a')"})), r"python3 -c 'print('\''a'\'')'");
    assert_eq!(about(json!({"code": "rm -rf x", "language": "bash"})), "rm -rf x");
}

#[tokio::test]
async fn all_commits_that_were_asked_for_are_listed_however_little_a_program_may_print() {
    let bench = bench_with(&RunRules { output_chars_max: 100, ..RunRules::default() });
    let at = bench.path("");
    git(&at, &["init", "-q", "-b", "main"]);
    for n in 0..40 {
        let subject = format!("{n} {}", "long ".repeat(n * 20));
        git(&at, &["commit", "-q", "--allow-empty", "-m", &subject]);
    }
    let listed = act(&bench, json!({"action": "rollback_list_commits", "limit": 200})).await;
    let commits = listed["commits"].as_array().unwrap();
    assert_eq!(commits.len(), 40);
    assert_eq!(commits[0]["commitSha"], git(&at, &["rev-parse", "HEAD"]));
    assert_eq!(commits[39]["subject"], "0");
    assert!(commits[0]["subject"].as_str().unwrap().len() <= 300, "{}", commits[0]);
}

#[tokio::test]
async fn what_a_project_begins_with_is_written_once_and_over_nothing() {
    let bench = bench();
    bench.write("package.json", r#"{"dependencies":{"next":"15"}}"#);
    bench.write("src/app/page.tsx", "");
    bench.write("src/auth.ts", "mine");
    let auth = json!({"action": "scaffold_authjs_supabase_drizzle"});
    let said = act(&bench, auth.clone()).await;
    assert_eq!(said["leftAsTheyWere"], json!(["src/auth.ts"]));
    assert_eq!(bench.read("src/auth.ts"), "mine");
    assert!(bench.read("drizzle.config.ts").contains("./src/db/schema.ts"));
    assert!(bench.read("src/app/api/auth/[...nextauth]/route.ts").contains("handlers"));
    assert!(
        bench.read("package.json").contains("\"drizzle-orm\"")
            && bench.read(".env.example").contains("AUTH_SECRET=")
    );
    let again = act(&bench, auth).await;
    assert_eq!(
        (&again["written"], &again["envAdded"], &again["files"]),
        (&json!([]), &json!([]), &Value::Null)
    );
    let cron = act(&bench, json!({"action": "scaffold_cron_supabase_daily"})).await;
    assert_eq!(cron["written"].as_array().unwrap().len(), 2);
    let sql = bench.names("supabase/migrations");
    assert!(bench.read(&format!("supabase/migrations/{}", sql[0])).contains("cron.schedule"));
    let reading = bench
        .reading("r", PROJECT_ACTIONS, json!({"action": "scaffold_cron_supabase_daily"}))
        .await;
    assert!(reading.is_error && reading.details.unwrap()["planMode"] == true);
    let looked = bench.reading("d", PROJECT_ACTIONS, json!({"action": "detect_project"})).await;
    assert_eq!(answer(&looked)["isNext"], true, "looking is for plan mode too");
}

#[tokio::test]
async fn links_lead_no_action_out_of_the_project() {
    let bench = bench();
    std::fs::create_dir_all(bench.path("../elsewhere")).unwrap();
    std::fs::write(bench.path("../elsewhere/package.json"), "{}").unwrap();
    std::os::unix::fs::symlink("../elsewhere/package.json", bench.path("package.json")).unwrap();
    let read = act(&bench, json!({"action": "detect_project"})).await;
    assert!(read["error"].as_str().unwrap().contains("leads out"), "{read}");
    std::os::unix::fs::symlink("../elsewhere", bench.path("supabase")).unwrap();
    let written = act(&bench, json!({"action": "scaffold_cron_supabase_daily"})).await;
    assert!(written["error"].as_str().unwrap().contains("leads out"), "{written}");
    assert!(!bench.path("../elsewhere/migrations").exists());
}

#[tokio::test]
async fn going_back_to_a_commit_keeps_history_and_what_was_not_committed() {
    let bench = bench();
    let at = bench.path("");
    let none = act(&bench, json!({"action": "rollback_list_commits"})).await;
    assert!(none["ok"] == false && !none["error"].is_null(), "{none}");
    git(&at, &["init", "-q", "-b", "main"]);
    bench.write("a.ts", "one");
    bench.write(".gitignore", "ignored\n");
    git(&at, &["add", "-A"]);
    git(&at, &["commit", "-q", "-m", "first: it begins"]);
    let first = git(&at, &["rev-parse", "HEAD"]);
    bench.write("a.ts", "two");
    bench.write("b.ts", "new");
    git(&at, &["add", "-A"]);
    git(&at, &["commit", "-q", "-m", "second"]);
    let second = git(&at, &["rev-parse", "HEAD"]);
    let listed = act(&bench, json!({"action": "rollback_list_commits", "limit": 1})).await;
    assert_eq!(listed["commits"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&listed["commits"][0]["commitSha"], &listed["commits"][0]["subject"]),
        (&json!(second), &json!("second"))
    );
    let all = act(&bench, json!({"action": "rollback_list_commits"})).await;
    assert_eq!(all["commits"][1]["subject"], "first: it begins");
    assert_eq!(
        act(&bench, json!({"action": "rollback_list_commits", "limit": 201})).await["ok"],
        false
    );

    bench.write("a.ts", "not committed");
    bench.write("c.ts", "not committed");
    bench.write(".env", "KEY=x");
    bench.write("ignored", "x");
    for (confirm, sha, part) in [
        (json!("yes"), first.as_str(), "confirm"),
        (Value::Null, first.as_str(), "confirm"),
        (json!("rollback"), "--all", "hash"),
        (json!("rollback"), "abcdef0123", "no such commit"),
    ] {
        let said =
            act(&bench, json!({"action": "rollback_run", "confirm": confirm, "commitSha": sha}))
                .await;
        assert!(said["ok"] == false && said["error"].as_str().unwrap().contains(part), "{said}");
        assert_eq!(bench.read("a.ts"), "not committed");
    }
    let back = json!({"action": "rollback_run", "confirm": "rollback", "commitSha": &first[..10]});
    let done = act(&bench, back).await;
    assert_eq!((&done["ok"], &done["commitSha"]), (&json!(true), &json!(first)), "{done}");
    assert_eq!(bench.read("a.ts"), "one");
    assert!(!bench.path("b.ts").exists() && !bench.path("c.ts").exists());
    assert!(bench.path(".env").exists() && bench.path("ignored").exists());
    assert_eq!(git(&at, &["rev-parse", "HEAD"]), second, "history stays");
    let kept = done["uncommittedKeptAs"].as_str().unwrap();
    assert_eq!(git(&at, &["show", &format!("{kept}:c.ts")]), "not committed");
    assert_eq!(git(&at, &["show", &format!("{kept}:a.ts")]), "not committed");
    git(&at, &["commit", "-q", "-m", "what a run does at its end"]);
    assert_eq!(git(&at, &["diff", "--stat", &first, "HEAD"]), "");
}

#[tokio::test]
async fn a_rollback_that_would_write_over_what_git_does_not_have_is_refused() {
    let bench = bench();
    let at = bench.path("");
    git(&at, &["init", "-q", "-b", "main"]);
    bench.write(".env", "KEY=old");
    git(&at, &["add", "-A"]);
    git(&at, &["commit", "-q", "-m", "with a secret"]);
    let first = git(&at, &["rev-parse", "HEAD"]);
    git(&at, &["rm", "-q", ".env"]);
    git(&at, &["commit", "-q", "-m", "without"]);
    bench.write(".env", "KEY=mine");
    let said =
        act(&bench, json!({"action": "rollback_run", "confirm": "rollback", "commitSha": first}))
            .await;
    assert!(said["ok"] == false && said["error"].as_str().unwrap().contains(".env"), "{said}");
    assert_eq!(bench.read(".env"), "KEY=mine");
}
