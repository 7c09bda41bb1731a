//! Rules over calls.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use toft_tools::Toolbox;

fn rule(tool: &str, argument: &str, action: Action) -> Rule {
    let argument = Some(argument.to_owned()).filter(|argument| !argument.is_empty());
    Rule { tool: tool.into(), argument, action, reason: None }
}

fn judged(rules: &[Rule], tool: &str, arguments: &Value) -> Verdict {
    let about = Toolbox::standard().about(tool, arguments);
    let places = Places { cwd: Path::new("/work/app"), home: "/root".into() };
    judge(rules, |_| false, &[tool], &about, &places)
}

fn bash(rules: &[Rule], command: &str) -> Verdict {
    judged(rules, "bash", &json!({ "command": command }))
}

fn action(verdict: &Verdict) -> Action {
    match verdict {
        Verdict::Allow => Action::Allow,
        Verdict::Ask { .. } => Action::Ask,
        Verdict::Deny { .. } => Action::Deny,
    }
}

#[test]
fn a_rule_of_what_can_do_the_same_holds_too() {
    let rule = Rule {
        tool: "bash".into(),
        argument: Some("git push*".into()),
        action: Action::Deny,
        reason: None,
    };
    let places = Places { cwd: Path::new("/home/project"), home: "/root".into() };
    let judged = |names: &[&str]| {
        let about = About::Command("cd x && git push origin".into());
        judge(std::slice::from_ref(&rule), |_| false, names, &about, &places)
    };
    assert_eq!(judged(&["run_code"]), Verdict::Allow);
    assert!(matches!(judged(&["run_code", "bash"]), Verdict::Deny { .. }));
}

#[test]
fn without_a_rule_everything_is_allowed() {
    assert_eq!(bash(&[], "rm -rf /"), Verdict::Allow);
    assert_eq!(bash(&[rule("write", "", Action::Deny)], "rm -rf /"), Verdict::Allow);
}

#[test]
fn the_first_rule_that_fits_counts_and_the_strictest_command_decides() {
    let rules = [
        rule("bash", "git push --dry-run *", Action::Allow),
        rule("bash", "git push *", Action::Ask),
        rule("bash", "rm *", Action::Deny),
    ];
    for (command, expected) in [
        ("ls", Action::Allow),
        ("git push --dry-run origin", Action::Allow),
        ("git push", Action::Ask),
        ("make && git push origin main", Action::Ask),
        ("git push && rm -rf x", Action::Deny),
        ("echo 'rm -rf x'", Action::Allow),
        ("echo \"$(rm -rf x)\"", Action::Deny),
        ("A=1 rm x", Action::Deny),
        ("/bin/rm x", Action::Deny),
        ("> out rm x", Action::Deny),
        ("sudo -u bob rm x", Action::Deny),
        ("timeout 5 rm x", Action::Deny),
        ("find . -name a -exec rm {} ;", Action::Deny),
        ("ls | xargs -n 1 rm", Action::Deny),
        ("bash -c 'cd x && rm y'", Action::Deny),
        ("env bash -ec 'rm y'", Action::Deny),
        ("eval 'rm y'", Action::Deny),
        // What cannot be told is asked.
        ("$TOOL x", Action::Ask),
        ("bash -c \"$LINE\"", Action::Ask),
        ("f() { rm x; }; f", Action::Ask),
        ("xargs $X", Action::Ask),
        ("alias a=rm; a x", Action::Ask),
        (". <(echo rm x)", Action::Ask),
        (". /dev/stdin", Action::Ask),
        ("echo rm x | bash /dev/stdin", Action::Ask),
        ("echo rm x | bash /proc/self/fd/0", Action::Ask),
        ("echo rm x | bash -O extglob", Action::Ask),
        ("echo rm x | bash -eo pipefail", Action::Ask),
        ("bash -c -e 'rm x'", Action::Deny),
        ("bash -co pipefail 'rm x'", Action::Deny),
        ("bash -eo pipefail build.sh", Action::Allow),
        // Texts within `${…}`, and documents whose ends are written strangely.
        ("echo ${a#'}'}; rm -r x; echo \"'\" #\"", Action::Ask),
        ("cat <<\"E F\" #\"\nE F\nrm -r x\nE", Action::Deny),
        ("cat <<E #\na\\\nE\n\"\nE\nrm x #\"", Action::Ask),
        ("(cat <<E)\n'\nE\nrm x #'", Action::Ask),
        ("source $FILE", Action::Ask),
        // So is what a shell is told on its input.
        ("bash <<EOF\nrm x\nEOF", Action::Ask),
        ("echo rm x | sh", Action::Ask),
        ("sh -s <<< 'rm x'", Action::Ask),
        ("sudo bash --norc < file", Action::Ask),
        ("bash -o pipefail", Action::Ask),
        ("bash $SCRIPT", Action::Ask),
        ("bash <(echo rm x)", Action::Ask),
        // Files and names are no such thing.
        ("bash build.sh -x", Action::Allow),
        ("bash --version", Action::Allow),
        (". venv/bin/activate", Action::Allow),
        ("command -v bash", Action::Allow),
        ("find . -name sh", Action::Allow),
        // Lines that others run.
        ("trap 'cd x; rm y' EXIT", Action::Deny),
        ("watch -g 'true && rm y'", Action::Deny),
        ("su bob -c 'cd x; rm y'", Action::Deny),
        ("flock lock rm y", Action::Deny),
        ("chroot / rm y", Action::Deny),
        ("env -S 'A=1 rm y'", Action::Deny),
    ] {
        assert_eq!(action(&bash(&rules, command)), expected, "{command}");
    }
}

#[test]
fn a_list_of_what_is_allowed_holds() {
    let rules = [
        rule("bash", "git status *", Action::Allow),
        rule("bash", "ls *", Action::Allow),
        rule("bash", "", Action::Deny),
    ];
    for (command, expected) in [
        ("git status", Action::Allow),
        ("git status -s && ls | ls -l", Action::Allow),
        ("for f in a b; do ls $f; done", Action::Allow),
        ("git status -s | cat", Action::Deny),
        ("$LS", Action::Deny),
        ("PATH=/tmp git status", Action::Deny),
        ("sudo ls", Action::Deny),
    ] {
        assert_eq!(action(&bash(&rules, command)), expected, "{command}");
    }
}

#[test]
fn paths_are_judged_as_what_they_mean() {
    let rules = [rule("*", ".env", Action::Deny), rule("write", "/etc/*", Action::Ask)];
    for path in
        [".env", "./.env", "src/../.env", "/work/app/.env", "`.env`", "file:///work/app/.env"]
    {
        assert_eq!(
            action(&judged(&rules, "read", &json!({ "path": path }))),
            Action::Deny,
            "{path}"
        );
    }
    assert_eq!(action(&judged(&rules, "write", &json!({"path": "../../etc/x"}))), Action::Ask);
    assert_eq!(action(&judged(&rules, "read", &json!({"path": "a/.env"}))), Action::Allow);
    // However the model names it.
    assert_eq!(action(&judged(&rules, "read", &json!({"file_path": ".env"}))), Action::Deny);
    let patch =
        "*** Begin Patch\n*** Update File: a.txt\n*** Move to: .env\n@@\n-a\n+b\n*** End Patch";
    assert_eq!(action(&judged(&rules, "apply_patch", &json!({ "input": patch }))), Action::Deny);
}

#[test]
fn a_link_is_judged_as_what_it_leads_to_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("app")).unwrap();
    std::fs::create_dir(at("app/src")).unwrap();
    std::fs::write(at("app/.env"), "").unwrap();
    std::os::unix::fs::symlink("../.env", at("app/src/link")).unwrap();
    std::os::unix::fs::symlink(at("app"), at("door")).unwrap();
    let check = |cwd: &str, rules: &[Rule], path: &str| {
        let about = About::Paths(vec![path.to_owned()]);
        let cwd = at(cwd);
        let places = Places { cwd: &cwd, home: "/root".into() };
        action(&judge(rules, |_| false, &["read"], &about, &places))
    };
    let denied = [rule("read", ".env", Action::Deny)];
    let allowed = [rule("read", "src/*", Action::Allow), rule("read", "", Action::Deny)];
    for cwd in ["app", "door"] {
        assert_eq!(check(cwd, &denied, "src/../.env"), Action::Deny);
        std::fs::write(at("app/src/plain"), "").unwrap();
        for (path, expected) in [("src/link", Action::Deny), ("src/plain", Action::Allow)] {
            assert_eq!(check(cwd, &denied, path), expected, "{cwd} {path}");
            assert_eq!(check(cwd, &allowed, path), expected, "{cwd} {path}");
        }
        // What is not there yet lies where its folder does.
        assert_eq!(check(cwd, &allowed, "src/new/file"), Action::Allow);
    }
    assert_eq!(check("app", &denied, "../door/.env"), Action::Deny);
}

#[test]
fn a_command_is_judged_however_the_model_names_it() {
    let rules = [rule("bash", "rm *", Action::Deny)];
    assert_eq!(action(&judged(&rules, "bash", &json!({"cmd": "rm x"}))), Action::Deny);
    assert_eq!(action(&judged(&rules, "bash", &json!({"command": ["rm x"]}))), Action::Deny);
}

#[test]
fn what_a_person_allowed_for_good_is_not_asked_again() {
    let rules = [rule("bash", "git push *", Action::Ask), rule("bash", "rm *", Action::Deny)];
    let places = Places { cwd: Path::new("/w"), home: "/root".into() };
    let check = |command: &str| {
        let about = About::Command(command.to_owned());
        action(&judge(&rules, |rule| *rule == rules[0], &["bash"], &about, &places))
    };
    assert_eq!(check("git push"), Action::Allow);
    assert_eq!(check("git push; rm x"), Action::Deny);
    assert_eq!(check("$X"), Action::Ask);
}

#[test]
fn a_tool_of_another_kind_is_judged_by_its_arguments() {
    let rules = [rule("github__*", "*\"private\":false*", Action::Ask)];
    assert_eq!(action(&judged(&rules, "github__new", &json!({"private": false}))), Action::Ask);
    assert_eq!(action(&judged(&rules, "github__new", &json!({"private": true}))), Action::Allow);
}

proptest! {
    /// A denied command is never let through, wherever in a line it stands.
    #[test]
    fn a_denied_command_is_never_allowed(
        before in prop::collection::vec(prop::sample::select(vec!["ls", "cat 'a b'", "echo \"$X\"", "x=1"]), 0..3),
        join in prop::sample::select(vec![" && ", " | ", "; ", "\n", " || ", " & "]),
        hidden in prop::sample::select(vec![
            "rm x", "'rm' x", "r\\m x", "\"rm\" x", "/bin/rm x", "A=b rm x", "2>&1 rm x", "sudo rm x",
            "nice -n 5 rm x", "sh -c 'rm x'", "echo `rm x`", "echo $(rm x)", "(rm x)", "{ rm x; }",
            "if true; then rm x; fi", "cat <(rm x)", "eval rm x", "command rm x",
        ]),
    ) {
        let line = before.iter().copied().chain([hidden]).collect::<Vec<_>>().join(join);
        let verdict = bash(&[rule("bash", "rm *", Action::Deny)], &line);
        prop_assert_ne!(action(&verdict), Action::Allow, "{}", line);
    }
}
