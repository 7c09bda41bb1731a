//! Which checks (tests, lints, builds) a command line runs, and whether its exit code says how they went. Names
//! that people use for such programs, not proof: what ran and how it ended is the receipt's.

mod known;
mod line;
mod nothing;

use toft_model::receipt::Check;

/// Command lines within command lines.
const DEPTH_MAX: usize = 4;

/// Checks of one line; more are in no line that people write.
const CHECKS_MAX: usize = 16;

/// The checks that a command line runs, as it is written.
pub fn of(command: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    find(command, true, 0, &mut checks);
    checks.truncate(CHECKS_MAX);
    checks
}

fn find(line: &str, decides: bool, depth: usize, checks: &mut Vec<Check>) {
    for step in line::read(line) {
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        let words = known::bare(&words);
        let decides = decides && step.decides;
        if let Some(inner) = known::inner_line(words).filter(|_| depth < DEPTH_MAX) {
            find(inner, decides, depth + 1, checks);
        } else if let Some(kind) = known::kind(words) {
            checks.push(Check { kind, command: step.words.join(" "), decides });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds, with a `?` where the exit code of the line does not tell.
    fn seen(line: &str) -> String {
        let one = |check: &Check| {
            let mark = if check.decides { "" } else { "?" };
            format!("{}{mark}", check.kind.as_str())
        };
        of(line).iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn check(cases: &[(&str, &str)]) {
        for (line, wanted) in cases {
            assert_eq!(seen(line), *wanted, "{line}");
        }
    }

    #[test]
    fn programs_are_known_by_the_names_that_people_use() {
        check(&[
            ("cargo test", "test"),
            ("cargo +nightly nextest run -p x", "test"),
            ("cargo test --no-run", "build"),
            ("cargo clippy -- -D warnings", "lint"),
            ("cargo fmt --check", "lint"),
            ("cargo fmt", ""),
            ("cargo build --release", "build"),
            ("cargo run", ""),
            ("npm test", "test"),
            ("npm run test:unit -- --run", "test"),
            ("npm --prefix web run lint", "lint"),
            ("pnpm -r build", "build"),
            ("yarn typecheck", "lint"),
            ("bun test", "test"),
            ("npm install", ""),
            ("npm run dev", ""),
            ("npx vitest run", "test"),
            ("npx --yes eslint .", "lint"),
            ("npx tsc --noEmit", "lint"),
            ("tsc -p .", "build"),
            ("python3 -m pytest -q", "test"),
            ("python manage.py test", "test"),
            ("uv run pytest", "test"),
            ("poetry run ruff check .", "lint"),
            ("ruff format .", ""),
            ("go test ./...", "test"),
            ("go vet ./...", "lint"),
            ("make", "build"),
            ("make -C sub test", "test"),
            ("make check", "check"),
            ("make clean", ""),
            ("just ci", "check"),
            ("./gradlew test", "test"),
            ("mvn -q verify", "test"),
            ("bundle exec rspec", "test"),
            ("bash run-tests.sh", "test"),
            ("./scripts/test.sh", "test"),
            ("node --test", "test"),
            ("node server.js", ""),
            ("./test-data/make.sh", ""),
            ("pytest --collect-only", ""),
            ("jest --version", ""),
            ("echo cargo test", ""),
            ("grep -r 'npm test' .", ""),
            ("which pytest", ""),
        ]);
    }

    #[test]
    fn what_only_looks_at_checks_runs_none() {
        check(&[
            ("command -v pytest", ""),
            ("command -V npm test", ""),
            ("command pytest", "test"),
            ("sudo -l pytest", ""),
            ("pytest -h", ""),
            ("pytest --co -q", ""),
            ("pytest --fixtures", ""),
            ("npx playwright install", ""),
            ("playwright", ""),
            ("npx playwright test", "test"),
            ("npx playwright test --list", ""),
            ("npx cypress install", ""),
            ("npx cypress open", ""),
            ("npx cypress run", "test"),
            ("cargo nextest list", ""),
            ("cargo nextest archive", "build"),
            ("cargo nextest r --no-run", "build"),
            ("cargo llvm-cov report", ""),
            ("cargo llvm-cov --no-run", "build"),
            ("cargo deny list", ""),
            ("cargo test -- --list", ""),
            ("mvn verify -DskipTests", "build"),
            ("mvn verify -DskipTests=true", "build"),
            ("mvn verify -DskipTests=false", "test"),
            ("mvn -Dmaven.test.skip test", "build"),
            ("mvn -Dmaven.test.failure.ignore=true test", ""),
            ("gradle build -x test", "build"),
            ("./gradlew check -x test", "build"),
            ("./gradlew -x lint test", "test"),
            ("./gradlew -m test", ""),
            ("gradle help --task test", ""),
            ("make -n test", ""),
            ("make -kn test", ""),
            ("make -C notes test", "test"),
            ("make -Cnotes -j4 test", "test"),
            ("make -q", ""),
            ("make --just-print test", ""),
            ("make -i test", ""),
            ("just -n test", ""),
            ("rake -T test", ""),
            ("go test -list . ./...", ""),
            ("go test -list=.", ""),
            ("go test -c", "build"),
            ("go test -n", ""),
            ("jest --listTests", ""),
            ("npm test -- --listTests", ""),
            ("npm test --if-present", ""),
            ("npx vitest list", ""),
            ("vitest run list", "test"),
            ("ctest -N", ""),
            ("ctest --show-only=json-v1", ""),
            ("tox -l", ""),
            ("tox --notest", ""),
            ("dotnet test --list-tests", ""),
            ("dotnet test", "test"),
            ("swift test list", ""),
            ("swift test", "test"),
            ("bazel query //x:test", ""),
            ("deno test --no-run", "build"),
            ("node --test-reporter=spec server.js", ""),
            ("bash -n run-tests.sh", ""),
            ("bash -nc 'npm test'", ""),
        ]);
    }

    #[test]
    fn what_stands_before_a_program_does_not_hide_it() {
        check(&[
            ("CI=1 RUST_LOG=debug cargo test", "test"),
            ("timeout -k 5 60 cargo test", "test"),
            ("env -u HOME A=b nice -n 10 npm test", "test"),
            ("time cargo test", "test"),
            ("bash -c 'cargo test'", "test"),
            ("bash -lc \"cd x && npm run lint\"", "lint"),
            ("sudo -u me pytest", "test"),
        ]);
    }

    #[test]
    fn the_exit_code_of_a_line_tells_only_of_what_decides_it() {
        check(&[
            ("cd x && cargo test 2>&1", "test"),
            ("cargo build && cargo test && echo fine", "build test"),
            ("cargo build; cargo test", "build? test"),
            ("cargo test\n", "test"),
            ("cargo test\necho $?", "test?"),
            ("cargo test; echo \"exit: $?\"", "test?"),
            ("cargo test || true", "test?"),
            ("cargo test 2>&1 | tail -20", "test?"),
            ("set -o pipefail; cargo test | tail", "test"),
            ("set -o pipefail && cargo test | tail", "test"),
            ("cat x | cargo test", "test"),
            ("set -e; cargo build; cargo test", "build test"),
            ("set -euo pipefail\ncargo clippy | cat\ncargo test", "lint test"),
            ("set -e; cargo build && true; cargo test", "build? test"),
            ("cargo test &", "test?"),
            ("cargo test & wait", "test?"),
            ("! cargo test", "test?"),
            ("if cargo test; then echo; fi", "test?"),
            ("(cd x; cargo test)", "test?"),
            ("bash -c 'cargo test | tail'", "test?"),
            ("bash -c 'cargo test' | tail", "test?"),
            ("cargo test # and then", "test"),
            ("cargo test '; true'", "test"),
            ("cargo test $(cat args)", "test?"),
            ("cargo test >log 2>&1", "test"),
            ("cargo test &>log", "test"),
            ("trap 'exit 0' EXIT; cargo test", "test?"),
            ("cargo() { true; }; cargo test", "test?"),
            ("alias cargo=true\ncargo test", "test?"),
            ("exec true; npm test", "test?"),
            ("exec true\nnpm test", "test?"),
            ("command exec true; npm test", "test?"),
            ("A=b exec true; npm test", "test?"),
            ("set -n; npm test", "test?"),
            ("set -o noexec; npm test", "test?"),
            (". .venv/bin/activate && pytest", "test"),
            ("eval cargo test", "test?"),
            ("cat <<EOF\ncargo test\nEOF", "test?"),
            ("cargo test 'open", "test?"),
        ]);
    }
}
