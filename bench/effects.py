"""How often each deed of a failing program reaches the world: under python, and under torchwhy with trials, with a late replay, and both.

`python bench/effects.py`; exit code 1 where a count differs from python's. Linux.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

DEEDS = {
    "log file, buffered": 'LOG.write("x")',
    "raw descriptor": 'os.write(RAW, b"x")',
    "pipe to a process": 'CAT.stdin.write(b"x"); CAT.stdin.flush()',
    "socket": 'HERE.send(b"x")',
    "mmap": "MAP[0] += 1",
    "memmap": "FILE[0] += 1; FILE.flush()",
    "multiprocessing.Value": "VALUE.value += 1",
    "shared tensor": "SHARED.add_(1)",
    "file, by name": 'open("named", "a").write("x")',
    "file mode": 'os.chmod("mode", (os.stat("mode").st_mode & 0o777) + 1)',
    "mode, by a reading descriptor": "os.fchmod(MODE, (os.fstat(MODE).st_mode & 0o777) + 1)",
    "time, by C": 'LIBC.utimes(b"time", TIMES)',
    "named pipe": 'os.write(os.open("fifo", os.O_WRONLY | os.O_NONBLOCK), b"x")',
    "UNIX socket, by C": "LIBC.connect(LIBC.socket(1, 1, 0), ADDRESS, len(ADDRESS))",
    "/dev/shm": 'open(f"/dev/shm/{NAME}{os.getpid()}", "w").close()',
    "priority of another": "os.setpriority(0, CAT.pid, os.getpriority(0, CAT.pid) + 1)",
}
_BEFORE = """\
import atexit, ctypes, glob, mmap, multiprocessing, os, socket, subprocess
LOG, RAW = open("log", "a"), os.open("raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
CAT = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=open("cat", "w"))
HERE, THERE = socket.socketpair()
MAP, VALUE, NAME, LIBC = mmap.mmap(-1, 4096), multiprocessing.Value("i", 0), os.path.basename(os.getcwd()), ctypes.CDLL(None)
open("mode", "w").close(); os.chmod("mode", 0o600); open("time", "w").close(); os.utime("time", (9, 9))
MODE, TIMES = os.open("mode", os.O_RDONLY), (ctypes.c_long * 4)(7, 0, 7, 0)
os.path.exists("fifo") or os.mkfifo("fifo")
FIFO = os.open("fifo", os.O_RDWR | os.O_NONBLOCK)
LISTENER = socket.socket(socket.AF_UNIX)
try: LISTENER.bind("unix"); LISTENER.listen(50)
except OSError: pass
LISTENER.setblocking(False)
ADDRESS = b"\\x01\\x00unix\\0"
import numpy, torch
FILE, SHARED = numpy.memmap("map", dtype="int32", mode="w+", shape=(4,)), torch.zeros(1).share_memory_()
def report():
    def accepted():
        count = 0
        try:
            while True: LISTENER.accept(); count += 1
        except OSError: return count
    def read(f):
        try: return len(f())
        except OSError: return 0
    LOG.flush(); THERE.setblocking(False); nice = os.getpriority(0, CAT.pid) - os.getpriority(0, 0)
    CAT.stdin.close(); CAT.wait()
    named = glob.glob(f"/dev/shm/{NAME}*")
    rights = (os.stat("mode").st_mode & 0o777) - 0o600
    print(os.path.getsize("log"), os.path.getsize("raw"), os.path.getsize("cat"), read(lambda: THERE.recv(99)), MAP[0], FILE[0],
          VALUE.value, SHARED.item(), os.path.exists("named") and os.path.getsize("named"), rights, os.stat("time").st_mtime,
          read(lambda: os.read(FIFO, 99)), accepted(), len(named), nice, sep="|")
    [os.remove(name) for name in named]
atexit.register(report)
net = torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.ReLU(), torch.nn.Linear(20, 5))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(60):
    x = torch.randn(4, 9 if step == FAILS else 10)
    if step == FAILS:
        DEED
    loss = net(x).sum(); optimizer.zero_grad(); loss.backward(); optimizer.step()
"""


def run(deed: str, fails: int, command: list[str]) -> tuple[int, str]:
    """The exit code, and the counts that the program prints as it ends."""
    with tempfile.TemporaryDirectory(prefix="effects") as folder:
        Path(folder, "prog.py").write_text(_BEFORE.replace("FAILS", str(fails)).replace("DEED", deed))
        before = set(os.listdir("/dev/shm"))
        done = subprocess.run([*command, "prog.py"], cwd=folder, capture_output=True, text=True)
        left = set(os.listdir("/dev/shm")) - before
        return done.returncode, done.stdout + "".join(sorted(left))


def main() -> int:
    tool = str(Path(sys.executable).with_name("torchwhy"))
    ways = {
        "trials": (1, [tool, "run"]),
        "late replay": (50, [tool, "run", "--no-verify"]),
        "both": (50, [tool, "run"]),
    }
    chosen = {name: deed for name, deed in DEEDS.items() if not sys.argv[1:] or name in sys.argv[1:]}
    differ = False
    for name, deed in chosen.items():
        python = {fails: run(deed, fails, [sys.executable]) for fails in (1, 50)}
        same = {way: run(deed, fails, command) == python[fails] for way, (fails, command) in ways.items()}
        differ = differ or not all(same.values())
        print(f"{name:32}", *(f"{way}: {'as python' if one else 'DIFFERS'}" for way, one in same.items()), sep="  ", flush=True)
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
