//! Commits: listed, and gone back to.

use super::*;

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
