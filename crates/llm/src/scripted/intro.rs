//! What the demo says when the words of the prompt choose no script.

use super::{say::Say, turn::Turn};
use crate::ask::ModelRequest;

/// How to get a real model; ends every piece of work.
pub(super) const LABEL: &str = "*This was Toft's scripted demo: no language model was asked. The \
    tools, files and processes are real. To work with a real model, add a provider key in \
    **Settings → Providers**, or set one (such as `ANTHROPIC_API_KEY` or `OPENAI_API_KEY`) in the \
    environment of `toft up`.*";

pub(super) fn next(_turn: &Turn<'_>, _request: &ModelRequest) -> Say {
    Say::text(format!(
        "Hello. I am Toft's scripted demo model. I cannot understand free text, but I can show what \
         an agent does here, on this project's own machine:\n\n\
         - **“Build a to-do app”**: I write a small web app that keeps its tasks in a database, start \
         it, and you open it beside this chat.\n\
         - **“Fix the failing test”**: I run a test that fails, find the mistake, mend it and run the \
         test again.\n\
         - **“Ask me a question”**: I ask, wait for your answer, and go on with it.\n\
         - **“Count to 25”** or **“20 turns”**: a long run, to try steering and stopping.\n\
         - **“Run `ls -la`”**: I run any one command that you name.\n\n{LABEL}"
    ))
}
