//! Set actions on a project's files and packages.

use super::*;

#[tokio::test]
async fn every_action_of_the_source_answers() {
    let bench = bench();
    assert_eq!(crate::workspace::actions::ACTIONS.map(|(name, _)| name), ACTIONS);
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
