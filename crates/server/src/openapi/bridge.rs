//! The routes that a machine's bridge answers below `/v1/projects/{id}/toft`. The server passes them through, so their
//! bodies and answers are the bridge's; what is not typed here is told as any JSON, and counted.

mod bodies;

use super::operation::{Answer, Failure, Says, says};
use bodies::{
    Abort, Answer as Answered, Approve, Archive, At, Cancel, Compact, Config, Decision, Follow,
    Forked, From, Label, Listed, Make, Move, Navigate, New, OfSession, Open, Part, Prompt, Queue,
    Receipts, Reject, Switch, Wanted,
};
use schemars::JsonSchema;
use serde_json::{Map, Value};
use toft_model::{
    machine::Activity,
    run::{RunNow, RunOrder},
};

/// Method, path below `/v1/projects/{id}/toft`, and what it does.
pub(crate) type Route = (&'static str, &'static str, fn() -> Says);

/// Any object.
type Any = Map<String, Value>;

fn bare(summary: &'static str) -> Says {
    says(summary).fails(Failure::Bridge)
}

fn reply<T: JsonSchema>(summary: &'static str) -> Says {
    bare(summary).reply::<T>()
}

fn look(summary: &'static str) -> Says {
    reply::<Any>(summary)
}

fn act<B: JsonSchema>(summary: &'static str) -> Says {
    look(summary).takes::<B>()
}

/// All of them, by area of the documentation. A test compares them with those that the bridge has.
pub(crate) const ROUTES: &[(&str, &[Route])] = &[
    (
        "Agent",
        &[
            ("GET", "/events", || {
                bare("Follow what happens in the machine")
                    .query::<Follow>()
                    .header(
                        "Last-Event-ID",
                        false,
                        "The number of the last event that is known; it wins over `after`.",
                    )
                    .events("hello, then each kind of event by its name")
                    .note(
                        "The stream begins with `hello` and its number; without a \
                number to begin after, only what comes is told.",
                    )
            }),
            ("POST", "/prompt", || {
                act::<Prompt>("Say something to the agent")
                    .status("202")
                    .note("While the agent works, what is said waits.")
            }),
            ("POST", "/steer", || {
                act::<Prompt>("Say something that the agent hears while it works")
            }),
            ("POST", "/follow-up", || act::<Prompt>("Say something for when the agent is done")),
            ("POST", "/abort", || act::<Abort>("Stop the agent")),
            ("POST", "/retry", || {
                act::<OfSession>("Ask the model again after a failure").status("202")
            }),
            ("POST", "/queue", || act::<Queue>("Change what waits to be said")),
            ("POST", "/answer", || act::<Answered>("Answer the agent's question")),
            ("POST", "/config", || act::<Config>("Change how the agent works")),
        ],
    ),
    (
        "Conversations",
        &[
            ("GET", "/state", || look("The state of a conversation").query::<OfSession>()),
            ("GET", "/messages", || look("The messages of a conversation").query::<OfSession>()),
            ("GET", "/sessions", || look("All conversations").query::<Listed>()),
            ("POST", "/sessions/new", || act::<New>("Begin a conversation")),
            ("POST", "/sessions/switch", || act::<Switch>("Make a conversation the current one")),
            ("POST", "/sessions/compact", || act::<Compact>("Sum up a conversation")),
            ("GET", "/sessions/{session}/tree", || {
                look("All branches of a conversation").query::<Part>()
            }),
            ("POST", "/sessions/{session}/fork", || {
                act::<Forked>("Copy a branch as a new conversation")
            }),
            ("POST", "/sessions/{session}/navigate", || {
                act::<Navigate>("Go to another place of a conversation")
            }),
            ("POST", "/sessions/{session}/label", || act::<Label>("Name an entry")),
            ("POST", "/sessions/{session}/mode", || act::<Wanted>("Plan, or build")),
            ("GET", "/sessions/{session}/plan", || look("The plan of a conversation")),
            ("POST", "/sessions/{session}/plan", || {
                act::<Decision>("Approve a plan, or send it back")
            }),
            ("GET", "/sessions/{session}/export.html", || {
                bare("A conversation as one page").bytes("text/html")
            }),
        ],
    ),
    (
        "Runs",
        &[
            ("GET", "/runs", || look("Runs, as the machine knows them")),
            ("GET", "/runs/{job}", || reply::<RunNow>("A run, as the machine knows it")),
            ("PUT", "/runs/{job}", || {
                act::<RunOrder>("Hand over a run")
                    .note("For the server only: 403 for everybody else.")
            }),
            ("POST", "/runs/{job}/cancel", || {
                act::<Cancel>("Stop a run's work")
                    .note("For the server only: 403 for everybody else.")
            }),
            ("POST", "/runs/{job}/approve", || act::<Approve>("Approve the plan of a run")),
            ("POST", "/runs/{job}/reject", || act::<Reject>("Send the plan of a run back")),
        ],
    ),
    (
        "Extensions",
        &[
            ("GET", "/skills", || look("Skills that the agent finds")),
            ("GET", "/extensions", || look("Extensions of the project")),
            ("GET", "/mcp", || look("MCP servers of the project")),
            ("POST", "/mcp/{mcp}/restart", || look("Start an MCP server again").status("202")),
        ],
    ),
    (
        "Services",
        &[
            ("GET", "/inspect", || {
                bare("What the app is made of")
                    .bare::<Any>()
                    .note("Without the envelope, as Starter has it.")
            }),
            ("GET", "/services", || look("Services of the project")),
            ("POST", "/services/{service}/start", || look("Start a service")),
            ("POST", "/services/{service}/stop", || look("Stop a service")),
            ("POST", "/services/{service}/restart", || look("Restart a service")),
            ("GET", "/services/{service}/log", || {
                look("What a service has printed").query::<From>()
            }),
        ],
    ),
    (
        "Programs",
        &[
            ("GET", "/receipts", || look("What the agent's programs did").query::<Receipts>()),
            ("GET", "/activity", || reply::<Activity>("What keeps the machine awake")),
            ("GET", "/terminals", || look("Open terminals")),
            ("POST", "/terminals", || act::<Open>("Open a terminal")),
            ("GET", "/terminals/{terminal}", || {
                bare("Attach to a terminal").gives(Answer::Socket).note(
                    "A WebSocket. Binary messages are bytes of the terminal, both \
            ways; `{type: \"resize\", cols, rows}` goes in as text, \
            `{type: \"exit\", code, signal}` comes out.",
                )
            }),
            ("DELETE", "/terminals/{terminal}", || look("Close a terminal")),
            ("GET", "/processes", || look("Programs in the background")),
            ("DELETE", "/processes/{process}", || look("End a program and all that it started")),
            ("GET", "/processes/{process}/output", || {
                bare("Follow the output of a program").query::<From>().events("output, exit")
            }),
        ],
    ),
    (
        "Files",
        &[
            ("GET", "/files", || look("A folder's entries, or what a file is").query::<At>()),
            ("DELETE", "/files", || look("Remove a file or folder").query::<At>()),
            ("GET", "/files/content", || {
                bare("Read a file")
                    .query::<At>()
                    .header("Range", false, "A part of it: `bytes=0-1023`.")
                    .bytes("*/*")
            }),
            ("PUT", "/files/content", || look("Write a file").query::<At>().takes_bytes()),
            ("GET", "/files/archive.zip", || {
                bare("A folder as an archive").query::<Archive>().bytes("application/zip")
            }),
            ("POST", "/files/mkdir", || act::<Make>("Make a folder")),
            ("POST", "/files/move", || act::<Move>("Move or rename")),
        ],
    ),
];
