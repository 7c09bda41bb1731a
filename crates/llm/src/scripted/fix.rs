//! Script: a test fails, the mistake is found and mended, the test passes. Needs only a shell.

use super::{intro::LABEL, say::Say, turn::Turn};
use crate::ask::ModelRequest;
use serde_json::json;

const PRICE: &str = "\
# Total in cents for some pieces at a price, less a discount in percent.
total() {
  local pieces=$1 price=$2 percent=$3
  echo $(( pieces * price - percent ))
}
";

const TEST: &str = "\
#!/bin/bash
# Checks price.sh. Ends with 1 when something is wrong.
source \"$(dirname \"$0\")/price.sh\"
failed=0
check() {
  if [ \"$2\" = \"$3\" ]; then echo \"ok    $1\"
  else echo \"WRONG $1: expected $3, got $2\"; failed=1; fi
}
check 'three at 5.00, no discount' \"$(total 3 500 0)\" 1500
check 'two at 10.00, 10 percent off' \"$(total 2 1000 10)\" 1800
check 'one at 8.00, half price' \"$(total 1 800 50)\" 400
exit $failed
";

const WRONG: &str = "pieces * price - percent";
const RIGHT: &str = "pieces * price * (100 - percent) / 100";

pub(super) fn next(turn: &Turn<'_>, _request: &ModelRequest) -> Say {
    let stopped = |what: &str| Say::text(format!("{what}, so I stop here.\n\n{LABEL}"));
    match turn.steps.len() {
        0 => Say::text(
            "I put a small shell function with its test into `discount/`; the function has a mistake.",
        )
        .thinking("First something that is broken, then the usual way: run, read, mend, run again.")
        .call("write", json!({ "path": "discount/price.sh", "content": PRICE }))
        .call("write", json!({ "path": "discount/test.sh", "content": TEST })),
        1 if turn.failed(0) => stopped("The files could not be written"),
        1 => Say::text("Now the test.").call("bash", json!({ "command": "bash discount/test.sh" })),
        2 if !turn.failed(1) => stopped("The test passes already, which I did not expect"),
        2 => Say::text("Two checks fail. I read the function.")
            .call("read", json!({ "path": "discount/price.sh" })),
        3 if turn.failed(2) => stopped("The file could not be read"),
        3 => Say::text(
            "The discount is taken off as cents, not as a share of the sum. I mend that line.",
        )
        .call(
            "edit",
            json!({ "path": "discount/price.sh", "edits": [{ "oldText": WRONG, "newText": RIGHT }] }),
        ),
        4 if turn.failed(3) => stopped("The edit was refused"),
        4 => Say::text("And the test again.")
            .call("bash", json!({ "command": "bash discount/test.sh" })),
        _ if turn.failed(4) => stopped("The test still fails"),
        _ => Say::text(format!(
            "The test passes: all three checks are right. The mistake was one line in \
             `discount/price.sh`, where the discount was taken off as cents instead of percent.\n\n\
             {LABEL}"
        )),
    }
}
