//! Command lines, and what they run.

use super::*;
use proptest::prelude::*;

fn texts(line: &str) -> (Vec<String>, bool) {
    let line = read(line);
    let text =
        |words: &Vec<Word>| words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
    (line.commands.iter().map(text).collect(), line.unclear)
}

#[test]
fn every_command_of_a_line_is_found() {
    for (line, expected) in [
        ("ls", vec!["ls"]),
        ("ls -la | grep x", vec!["ls -la", "grep x"]),
        ("a && b || c; d & e", vec!["a", "b", "c", "d", "e"]),
        ("a\nb", vec!["a", "b"]),
        ("echo 'a; rm -rf /'", vec!["echo a; rm -rf /"]),
        (r#"echo "a && b" c"#, vec!["echo a && b c"]),
        ("echo $(rm x)", vec!["rm x", "echo $(rm x)"]),
        (r#"echo "$(rm x)""#, vec!["rm x", "echo $(rm x)"]),
        ("echo `rm x`", vec!["rm x", "echo `rm x`"]),
        ("diff <(a 1) <(b 2)", vec!["a 1", "b 2", "diff $(a 1) $(b 2)"]),
        ("(cd x; make)", vec!["cd x", "make"]),
        ("if test -e a; then rm a; fi", vec!["test -e a", "rm a"]),
        ("for f in *.txt; do rm \"$f\"; done", vec!["rm $f"]),
        ("while read l; do echo $l; done < a", vec!["read l", "echo $l", "< a"]),
        ("{ a; b; } > c", vec!["a", "b", "> c"]),
        ("! a", vec!["a"]),
        ("r\\m x", vec!["rm x"]),
        ("'r'm x", vec!["rm x"]),
        ("a 2>&1 >/dev/null", vec!["a 2>& 1 > /dev/null"]),
        ("a &> b", vec!["a > b"]),
        ("cat <<EOF > f\nrm -rf /\nEOF\nls", vec!["cat > f", "ls"]),
        ("cat <<-'E'\n\t$(rm)\n\tE\nls", vec!["cat", "ls"]),
        ("cat <<< x", vec!["cat <<< x"]),
        ("a # b; c", vec!["a"]),
        ("a#b c", vec!["a#b c"]),
        ("a \\\n b", vec!["a b"]),
        ("echo $((1+2))", vec!["echo $((1+2))"]),
        ("echo $(( (1+2)*A ))", vec!["echo $(( (1+2)*A ))"]),
        ("echo ${A:-b}", vec!["echo ${A:-b}"]),
        ("if (a); then b; fi", vec!["a", "b"]),
        ("", vec![]),
    ] {
        let (found, unclear) = texts(line);
        assert_eq!(
            (found, unclear),
            (expected.iter().map(|s| (*s).to_owned()).collect(), false),
            "{line}"
        );
    }
}

#[test]
fn what_is_not_understood_is_said() {
    for line in [
        "echo 'a",
        "echo \"a",
        "echo $(a",
        "echo `a",
        "f() { rm x; }",
        "case a in b) rm x;; esac",
        "a=(1 2)",
        "((x = 1))",
        "cat <<EOF\n$(rm x)\nEOF",
        "cat <<EOF\nx",
        r"$'\x72\x6d' x",
        "echo ${A:-$(rm x)}",
        ")",
        "a \\",
        "coproc a",
        "echo $((a); (rm x))",
        "echo $((1 + $(rm x)))",
    ] {
        assert!(read(line).unclear, "{line}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_to_its_end(text in "[ -~\n]{0,80}") {
        let _ = read(&text);
    }

    /// However words are quoted and commands joined, each is found as what it is.
    #[test]
    fn commands_are_found_however_they_are_joined(
        commands in prop::collection::vec(prop::collection::vec("[ -~]{1,8}", 1..4), 1..5),
        joins in prop::collection::vec(prop::sample::select(vec![" | ", " && ", "||", ";", " & ", "\n", "|&"]), 5),
        double in any::<bool>(),
    ) {
        let quote = |word: &String| if double {
            let escaped: String = word.chars().flat_map(|c| {
                "\"\\$`".contains(c).then_some('\\').into_iter().chain([c])
            }).collect();
            format!("\"{escaped}\"")
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        };
        let mut line = String::new();
        for (n, words) in commands.iter().enumerate() {
            if n > 0 {
                line.push_str(joins[n]);
            }
            line.push_str(&words.iter().map(quote).collect::<Vec<_>>().join(" "));
        }
        let found = read(&line);
        prop_assert!(!found.unclear, "{line}");
        let found: Vec<Vec<String>> =
            found.commands.into_iter().map(|c| c.into_iter().map(|w| w.text).collect()).collect();
        prop_assert_eq!(found, commands, "{}", line);
    }

    /// A command within others is found, however deep.
    #[test]
    fn a_hidden_command_is_found(
        wraps in prop::collection::vec(prop::sample::select(vec![
            "echo $(@)", "echo \"a $(@) b\"", " (@)", "a | @", "@; b", "a && @", "if @; then b; fi",
            "diff <(@) x", "for i in 1; do @; done", "{ @; }", "while a; do @; done",
        ]), 0..6),
    ) {
        let line = wraps.iter().fold("rm -rf x".to_owned(), |line, wrap| wrap.replace('@', &line));
        let found = read(&line);
        prop_assert!(!found.unclear, "{line}");
        let rm = |words: &Vec<Word>| {
            let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
            texts == ["rm", "-rf", "x"]
        };
        prop_assert!(found.commands.iter().any(rm), "{line}");
    }
}
