//! Programs and pieces of code: what runs, what is refused, what is printed.

use super::*;

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
    bench.write("web/node_modules/x/test.pem", "of no use");
    assert!(cmd(&bench, json!({"cmd": "rm -rf web/node_modules"})).await["ok"] == true);
    assert!(!bench.path("web/node_modules").exists());
}

#[tokio::test]
async fn a_denied_command_is_an_answer_and_nothing_is_run() {
    let bench = bench();
    bench.write("kept", "x");
    bench.write(".git/HEAD", "x");
    bench.write("nested/deep/.git/HEAD", "x");
    bench.write("nest/a/.env", "s");
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
        (json!({"cmd": "rm -rf nested"}), "nested/deep/.git lies in nested"),
        (json!({"cmd": "rm -r kept a/../nest"}), "nest/a/.env lies in a/../nest"),
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
