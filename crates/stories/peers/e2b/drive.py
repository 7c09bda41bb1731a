"""Drives E2B's published Python client, as it is, against the address in its own variables. Arguments: the
template. Prints `done` at the end; an error ends it at the first thing that is not as it should be."""

import sys
import time

from e2b import CommandExitException, NotFoundException, Sandbox, SandboxQuery, SandboxState

TEMPLATE = sys.argv[1]


def check(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def fails(kind, call, what):
    try:
        call()
    except kind:
        return
    raise AssertionError(f"{what} did not fail")


def listed(**query):
    pages, found = Sandbox.list(query=SandboxQuery(**query)), []
    while pages.has_next:
        found += pages.next_items()
    return {one.sandbox_id: one.state for one in found}


box = Sandbox.create(TEMPLATE, timeout=120, metadata={"who": "driver", "n": "1"})
check(box.is_running(), True, "a new one runs")
check(box.get_info().metadata, {"who": "driver", "n": "1"}, "metadata")

ran = box.commands.run("echo out; echo err >&2; pwd")
check((ran.stdout, ran.stderr, ran.exit_code), ("out\n/home/user\n", "err\n", 0), "a command")
fails(CommandExitException, lambda: box.commands.run("exit 3"), "exit 3")
check(box.commands.run("id -un; echo $HOME", user="root").stdout, "root\n/root\n", "as root")
check(box.commands.run("echo $A", envs={"A": "b c"}).stdout, "b c\n", "a variable")
pieces = []
box.commands.run("for i in 1 2 3; do echo $i; sleep 0.05; done", on_stdout=pieces.append)
check("".join(pieces), "1\n2\n3\n", "output as it comes")
big = box.commands.run("head -c 3000000 /dev/zero | tr '\\0' x").stdout
check(len(big), 3_000_000, "much output")

talk = box.commands.run("while read line; do echo got $line; done; echo over", background=True, stdin=True)
box.commands.send_stdin(talk.pid, "one\n")
box.commands.send_stdin(talk.pid, "two\n")
check([p.pid for p in box.commands.list()], [talk.pid], "what runs")
box.commands.close_stdin(talk.pid)
check(talk.wait().stdout, "got one\ngot two\nover\n", "what was said to it")
sleeper = box.commands.run("sleep 1000", background=True)
check(sleeper.kill(), True, "ending it")
fails(CommandExitException, sleeper.wait, "one that was ended")
check(box.commands.kill(sleeper.pid), False, "it is gone")

box.files.write("notes/a.txt", "written\n")
check(box.files.read("notes/a.txt"), "written\n", "a file")
check(box.commands.run("cat /home/user/notes/a.txt").stdout, "written\n", "the same inside")
check([(e.name, e.type.value) for e in box.files.list("notes")], [("a.txt", "file")], "a folder")
check(box.files.exists("notes/none"), False, "what is not there")
check(box.files.get_info("notes/a.txt").size, 8, "its size")
fails(NotFoundException, lambda: box.files.read("notes/none"), "reading nothing")

other = Sandbox.create(TEMPLATE, timeout=120, metadata={"who": "other"})
third = Sandbox.create(TEMPLATE, timeout=120, metadata={"who": "driver", "n": "3"})
check(set(listed(metadata={"who": "driver"})), {box.sandbox_id, third.sandbox_id}, "of one")
every = listed(state=[SandboxState.RUNNING, SandboxState.PAUSED])
check(set(every), {box.sandbox_id, other.sandbox_id, third.sandbox_id}, "all, over pages")

box.commands.run("touch alive; (while :; do date +%s%N > /home/user/alive; sleep 0.05; done) >/dev/null 2>&1 &")
box.pause()
check(listed(state=[SandboxState.PAUSED]), {box.sandbox_id: SandboxState.PAUSED}, "paused")
check(box.is_running(), False, "a paused one")
box = Sandbox.connect(box.sandbox_id, timeout=120)
check(box.files.read("notes/a.txt"), "written\n", "files after a pause")
before = box.files.read("alive")
time.sleep(0.3)
if box.files.read("alive") == before:
    raise AssertionError("what ran before the pause does not go on")

kept = box.create_snapshot()
fork = Sandbox.create(kept.snapshot_id, timeout=120)
check(fork.files.read("notes/a.txt"), "written\n", "files of a snapshot")

brief = Sandbox.create(TEMPLATE, timeout=1)
until = time.time() + 20
while brief.sandbox_id in listed() and time.time() < until:
    time.sleep(0.1)
check(brief.sandbox_id in listed(), False, "one whose time is up")
box.set_timeout(60)

for one in (box, other, third, fork):
    check(one.kill(), True, "deleting")
check(box.kill(), False, "deleting again")
check(listed(state=[SandboxState.RUNNING, SandboxState.PAUSED]), {}, "nothing is left")
print("done")
