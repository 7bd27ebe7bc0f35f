"""Programs that do harm do none in a trial."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from trying import Trials, in_own_spaces

from torchwhy.replay.fence import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")

_CHANGES = {
    "delete": "import os; os.remove({kept!r})",
    "delete a tree": "import shutil; shutil.rmtree({folder!r})",
    "overwrite": "open({kept!r}, 'w').write('gone')",
    "append": "open({kept!r}, 'a').write('gone')",
    "truncate": "import os; os.truncate({kept!r}, 0)",
    "rename": "import os; os.rename({kept!r}, {kept!r} + '.old')",
    "make": "open({folder!r} + '/new.txt', 'w')",
    "make a folder": "import os; os.makedirs({folder!r} + '/a/b')",
    "link": "import os; os.symlink('/etc', {folder!r} + '/link')",
    "rights": "import os; os.chmod({kept!r}, 0o777)",
    "checkpoint": "import torch; torch.save(torch.zeros(3), {folder!r} + '/model.pt')",
    "mapped": "import torch; torch.from_file({kept!r}, shared=True, size=1000)",
    "by C, delete": "import ctypes; assert ctypes.CDLL(None).unlink({kept!r}.encode()) == 0, 'refused'",
    "by C, truncate": "import ctypes; assert ctypes.CDLL(None).truncate({kept!r}.encode(), 0) == 0, 'refused'",
    "by C, rename": "import ctypes; assert ctypes.CDLL(None).rename({kept!r}.encode(), b'moved.txt') == 0, 'refused'",
    "in a worker": "import os\nif os.fork() == 0:\n    open({kept!r}, 'w').write('gone')\nos.wait()\nraise OSError",
}
_STARTS = {
    "subprocess": "import subprocess; subprocess.run(['touch', {made!r}], check=True)",
    "system": "import os; assert os.system('touch ' + {made!r}) == 0, 'refused'",
    "exec": "import os; os.execv('/bin/touch', ['touch', {made!r}])",
    "by C": "import ctypes; assert ctypes.CDLL(None).system(b'touch ' + {made!r}.encode()) == 0, 'refused'",
}
_CONNECTS = {
    "tcp": "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    "udp": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "by C": "import ctypes; assert ctypes.CDLL(None).socket(2, 1, 0) >= 0, 'refused'",
    "store": "import datetime, torch.distributed as d\n"
    "d.TCPStore('127.0.0.1', {port}, is_master=False, timeout=datetime.timedelta(seconds=2))",
}


@pytest.mark.parametrize("harm", _CHANGES)
def test_files_stay(trials: Trials, outside: Path, harm: str) -> None:
    kept = outside / "kept.txt"
    outcome = trials.run(_CHANGES[harm].format(kept=str(kept), folder=str(outside)))
    assert outcome.fault == "" and outcome.end in ("raised", "ended")
    assert kept.read_text() == "kept"
    assert [path.name for path in outside.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("harm", _STARTS)
def test_no_program_starts(trials: Trials, outside: Path, harm: str) -> None:
    made = outside / "made.txt"
    assert trials.run(_STARTS[harm].format(made=str(made))).end == "raised"
    assert not made.exists()


_BY_C = """\
import ctypes, struct
libc = ctypes.CDLL(None)
where = struct.pack("=H", 2) + struct.pack(">H4s8x", {port}, bytes([127, 0, 0, 1]))
for kind in (1, 2):
    handle = libc.socket(2, kind, 0)
    libc.connect(handle, where, 16)
    libc.send(handle, b"x", 1, 0x4000)
"""


@pytest.mark.parametrize("harm", _CONNECTS)
def test_no_connection_opens(closed_trials: Trials, harm: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        outcome = closed_trials.run(_CONNECTS[harm].format(port=server.getsockname()[1]))
        assert outcome.end == "raised"
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("harm", [*_CONNECTS.values(), _BY_C])
def test_nobody_outside_is_reached(trials: Trials, harm: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as letters:
        letters.bind(server.getsockname())
        for waiting in (server, letters):
            waiting.settimeout(0.1)
        text = harm.format(port=server.getsockname()[1])
        if harm is _BY_C:  # it does reach somebody where nothing is in its way
            exec(compile(text, "harm", "exec"), {})
            assert server.accept() and letters.recv(1) == b"x"
        assert trials.run(text).end in ("raised", "ended")
        with pytest.raises(TimeoutError):
            server.accept()
        with pytest.raises(TimeoutError):
            letters.recv(1)


def test_only_the_trial_itself_is_called(trials: Trials) -> None:
    outcome = trials.run("import socket; socket.create_connection(('192.0.2.1', 80), 2)")
    assert outcome.end == "raised" and outcome.denied == ("opens a connection",)


def test_what_a_trial_starts_can_meet(trials: Trials) -> None:
    if os.waitstatus_to_exitcode(os.waitpid(in_own_spaces(), 0)[1]):
        pytest.skip("no process may have a network of its own here")
    meet = """\
import os, socket
server = socket.create_server(("localhost", 0))
if os.fork() == 0:
    socket.create_connection(server.getsockname()).sendall(b"here")
    os._exit(0)
raise ValueError(server.accept()[0].recv(4).decode())
"""
    outcome = trials.run(meet)
    assert (outcome.error_type, outcome.message) == ("ValueError", "here")


def test_what_was_tried_is_told(trials: Trials, outside: Path) -> None:
    assert trials.run(f"import os; os.symlink('/etc', {str(outside / 'link')!r})").denied == ("changes link",)
    assert trials.run("import subprocess; subprocess.run(['ls'])").denied == ("starts another program",)


_REFUSED = {
    "rights": "import ctypes, os\nif ctypes.CDLL(None, use_errno=True).chmod({kept!r}.encode(), 0o777):\n"
    "    raise OSError(ctypes.get_errno(), 'by C')",
    "by text": "import ctypes, os\nif ctypes.CDLL(None, use_errno=True).unlink({kept!r}.encode()):\n"
    "    raise RuntimeError(f'no: {{os.strerror(ctypes.get_errno())}}')",
    "as the cause": "import ctypes, os\ntry:\n    raise OSError(ctypes.get_errno() or 30, 'by C')\nexcept OSError:\n    1 / 0",
}


@pytest.mark.parametrize("harm", _REFUSED)
def test_what_the_system_refused_is_told(trials: Trials, outside: Path, harm: str) -> None:
    outcome = trials.run(_REFUSED[harm].format(kept=str(outside / "kept.txt")))
    assert outcome.end == "raised" and outcome.refused != ""
    assert trials.run("raise ValueError('else')").refused == ""


def test_files_are_written_aside(trials: Trials, outside: Path) -> None:
    text = f"""\
import os, pathlib, torch
os.chdir({str(outside)!r})
os.makedirs("runs/first", exist_ok=True)
torch.save({{"w": torch.ones(2)}}, "runs/first/model.pt")
assert torch.load("runs/first/model.pt")["w"].sum() == 2 and os.path.exists("runs/first/model.pt")
with open("kept.txt", "a") as log:
    log.write(" and more")
assert open("kept.txt").read() == "kept and more"
assert sorted(os.listdir(".")) == ["kept.txt", "runs"] == sorted(p.name for p in pathlib.Path(".").iterdir())
os.rename("kept.txt", "old.txt")
os.remove("runs/first/model.pt")
assert not os.path.exists("kept.txt") and pathlib.Path("old.txt").read_text() == "kept and more" and not os.listdir("runs/first")
try:
    open("missing/x.txt", "w")
except FileNotFoundError:
    raise ValueError("as it should be")
"""
    outcome = trials.run(text)
    assert (outcome.message, outcome.denied) == ("as it should be", ()), outcome
    assert [path.name for path in outside.iterdir()] == ["kept.txt"]
    assert (outside / "kept.txt").read_text() == "kept"


def test_a_temporary_folder_is_there(trials: Trials) -> None:
    text = (
        "import os, tempfile, torch\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    path = os.path.join(folder, 'model.pt')\n"
        "    torch.save({'w': torch.ones(2)}, path)\n"
        "    assert torch.load(path)['w'].sum() == 2\n"
        "raise ValueError(os.path.dirname(folder))\n"
    )
    outcome = trials.run(text)
    assert outcome.error_type == "ValueError", outcome
    assert not os.path.exists(outcome.message)


def test_loading_with_workers_works(trials: Trials) -> None:
    text = (
        "import torch\n"
        "data = torch.utils.data.TensorDataset(torch.arange(8.0))\n"
        "total = sum(x.sum() for x, in torch.utils.data.DataLoader(data, batch_size=2, num_workers=2))\n"
        "raise ValueError(total.item())\n"
    )
    outcome = trials.run(text)
    assert (outcome.error_type, outcome.message) == ("ValueError", "28.0"), outcome


def test_a_bomb_is_bounded(trials: Trials) -> None:
    outcome = trials.run("import os\nwhile True:\n    try:\n        os.fork()\n    except PermissionError:\n        pass\n", seconds=1.5)
    assert outcome.end == "timed-out"
    assert not _left_behind()


def test_an_endless_loop_ends(trials: Trials) -> None:
    began = time.monotonic()
    assert trials.run("while True: pass", seconds=0.5).end == "timed-out"
    assert time.monotonic() - began < 3


def test_memory_is_bounded(trials: Trials) -> None:
    outcome = trials.run("import torch; torch.ones(1 << 30)", memory=1 << 30)
    assert "memory" in outcome.message


def test_output_is_lost(trials: Trials) -> None:
    outcome = trials.run("import sys\nfor _ in range(1000): sys.stdout.write('x' * 1000000)\nraise ValueError", seconds=5)
    assert outcome.error_type == "ValueError"


def test_input_is_empty(trials: Trials) -> None:
    assert trials.run("input()").error_type == "EOFError"


def test_nothing_is_left_behind(trials: Trials) -> None:
    text = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "raise ValueError"
    )
    assert trials.run(text).end == "raised"
    time.sleep(0.1)
    assert not _left_behind()


def test_another_process_is_not_ended(trials: Trials) -> None:
    assert trials.run(f"import os; os.kill({os.getpid()}, 9)").error_type == "PermissionError"
    assert trials.run(f"import ctypes; assert ctypes.CDLL(None).kill({os.getpid()}, 15) == 0, 'refused'").end == "raised"


def _left_behind() -> list[str]:
    """Processes below the waiting one."""
    parents: dict[int, list[int]] = {}
    waiting = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if state[0] != "Z":
            parents.setdefault(int(state[1]), []).append(int(name))
        if state[3] == name and "pytest" in Path(f"/proc/{name}/cmdline").read_text() and int(name) != os.getpid():
            waiting = int(name)
    return [str(process) for process in parents.get(waiting, [])]


_SPAWNED = """\
import multiprocessing as mp
ctx = mp.get_context({method!r})
if {name} == "__main__":
    queue = ctx.Queue()
    process = ctx.Process(target=print, args=(queue, {more}))
    process.start()
    process.join(10)
    assert process.exitcode == 0, process.exitcode
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_processes_are_forked(trials: Trials, method: str) -> None:
    before = _semaphores()
    outcome = trials.run(_SPAWNED.format(method=method, name="__name__", more="1"))
    assert (outcome.end, outcome.message, outcome.denied) == ("ended", "", ())
    assert _semaphores() <= before


def test_what_can_not_be_pickled_is_not_sent(trials: Trials) -> None:
    outcome = trials.run(_SPAWNED.format(method="spawn", name="__name__", more="lambda: 1"))
    assert outcome.end == "raised" and "pickle" in outcome.message


def test_a_script_that_starts_itself_is_not_forked(trials: Trials) -> None:
    outcome = trials.run(_SPAWNED.format(method="spawn", name='"__main__"', more="1"))
    assert outcome.end == "raised"


def _semaphores() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith("sem.mp-")}
