"""The process group could not be set up: the ranks did not find each other.

Erroneous code (TW0902):

{example}

Why: every process must know its rank, how many there are, and where rank 0 listens. With `env://`, the default, they come from `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`, which `torchrun`
sets; a script started with plain `python` has none of them. Two jobs on one host ask for the same port. Ranks that start late, a wrong address or a firewall end in a time-out of the store.

Fix: start it with `torchrun --nproc_per_node=N script.py` (or set the four variables); choose a free port (`--master_port`, `--rdzv_endpoint=localhost:0`, `--standalone`); see that all ranks start and reach the address.

Messages: `environment variable RANK expected, but not set`; `address already in use` (EADDRINUSE); `Default process group has not been initialized`; `Timed out after 1801 seconds waiting for clients. 1/2 clients joined`;
`trying to initialize the default process group twice`; `Duplicate GPU detected`; `The client socket has failed to connect`.

Not to be confused with: `dist.collective` (the group is up, then a rank does not come).
"""

from __future__ import annotations

import re

from ...family import Example, Family, LogExample, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason.printed import around, find
from ...reason.process_edits import alone, once
from ...reason.ranks import set_up_condition
from ...reason.reading import reading
from ...reason.wording import code, place

_JOINED = re.compile(r"(?<!\d)(?P<joined>\d{1,9})/(?P<world>\d{1,9}) clients joined")
_PORT = "choose another port: torchrun --master_port=29501, --rdzv_endpoint=localhost:0 or --standalone; or end the job that holds it"

_TWICE = re.compile(r"twice|already been")

class Init(Family):
    code = "TW0902"
    title = "the process group could not be set up"
    rank = 1
    triggers = (
        Trigger(r"environment variable (?P<variable>\w+) expected, but not set"),
        Trigger(r"EADDRINUSE|[Aa]ddress already in use|failed to (?:listen|bind)"),
        Trigger(_JOINED.pattern),
        Trigger(
            r"waiting for clients|client socket has (?:failed|timed out)|store.{0,400}(?:timed out|[Tt]imeout)|wait timeout after|Timeout waiting for key|Rendezvous\w{0,40}Error|rendezvous.{0,400}(?:closed|timed out)"
        ),
        Trigger(r"[Dd]efault process group has not been initialized|not been initialized, please make sure to call init_process_group"),
        Trigger(r"initialize the default process group twice|already been initialized"),
        Trigger(
            r"[Ii]nvalid (?:rank|world.?size)[^\n]*|world_size[^\n]{0,400}(?:expected|positive|required)|rank (?:parameter|must|argument)[^\n]*|[Gg]roup rank is greater"
        ),
        Trigger(
            r"built with NCCL|NCCL (?:is not available|built in)|doesn't have NCCL|Unknown c10d backend|Invalid backend: '(?!.*list_backends)|Distributed package doesn't|MPI (?:is not|built)"
        ),
        Trigger(
            r"[Dd]uplicate GPU detected|name or service not known|gai error|getaddrinfo|No address associated with hostname|Unable to resolve hostname"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if not re.search(
            r"distributed|torchrun|dist\.|c10d|rank|rdzv|store|process group|NCCL|clients|backend|Dist|29\d{3}", _all_words(evidence)
        ):
            return None
        # rank 0 counts who comes, and need not be the first to give up
        met = _JOINED.search("\n".join([run.failure.message, *(peer.message for peer in evidence.peers)]))
        headline, notes, fix = self._judge(match, run.failure.message, around(evidence), met)
        if met is not None and int(met["joined"]) == len(evidence.peers) + 1 < int(met["world"]):
            notes = [
                *notes,
                f"all {met['joined']} processes that were started came: the world size is given as {met['world']}, or a rank was not started",
            ]
        more = alone(run) if "not been init" in match[0] else once(run) if _TWICE.search(match[0]) else []
        only = set_up_condition(run.sources) if "not been init" in match[0] else None
        if only is not None:
            notes = [*notes, f"`init_process_group` is called only where {code(only[0])}, at {place(only[1])}"]
        return run.diagnosis(
            self,
            headline,
            only[1] if only is not None else run.raised,
            "only so is the group set up" if only is not None else "the group is set up here",
            notes=notes,
            fixes=[*more, Fix(fix, (), "display-only")],
            confidence=Confidence.CERTAIN if match.groupdict().get("variable") else Confidence.LIKELY,
        )

    def _judge(self, match: re.Match[str], message: str, text: str, met: re.Match[str] | None) -> tuple[str, list[str], str]:
        groups = match.groupdict()
        if groups.get("variable"):
            name = groups["variable"]
            return (
                f"{code(name)} is not set: the script was not started by a launcher",
                [
                    "`init_process_group` with `env://` reads `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`; `torchrun` sets them, plain `python` does not"
                ],
                "start it with torchrun --nproc_per_node=N (python -m torch.distributed.run), or set the variables, or pass rank and world_size",
            )
        if re.search(r"in use|EADDRINUSE|listen|bind", match[0]):
            port = find(r"port[:=]?\s*(\d{2,5})", message, 1) or find(r":(\d{4,5})\b", message, 1) or find(r"\b(29\d{3})\b", text, 1)
            holder = find(r"LISTEN[^\n]*?\(\(\"([^\"]+)\",pid=\d+", text, 1)
            pid = find(r"LISTEN[^\n]*?pid=(\d+)", text, 1)
            notes = [f"port {port or '29500 (the default)'} of the host is taken: another job, or one that did not end, listens there"]
            if pid:
                notes.append(f"the text shows its holder: {code(holder or 'a process')}, pid {pid}")
            return f"port {port or '29500'} is already in use by another job", notes, _PORT
        if _TWICE.search(match[0]):
            return (
                "the default process group is initialised a second time",
                ["`init_process_group` was called before in this process: by the script, by a library, or in a notebook's earlier cell"],
                "call it once; guard it with `if not dist.is_initialized():`",
            )
        if re.search(r"has not been initialized|not been init", match[0]):
            return (
                "a collective is called before `init_process_group`",
                [
                    "no default process group exists in this process: the call stands before the set-up, after `destroy_process_group`, or in a process that torchrun did not start"
                ],
                "call dist.init_process_group first, and start with torchrun; guard single-process runs with `if dist.is_initialized():`",
            )
        if re.search(r"[Ii]nvalid (?:rank|world)|world_size|rank (?:param|must|arg)|greater", match[0]):
            return (
                "rank and world size do not fit",
                [f"torch says: {code(message.splitlines()[0] if message else match[0])}; ranks go from 0 to world_size - 1, each once"],
                "give each process its own rank below world_size, or let torchrun set both",
            )
        if re.search(r"NCCL|c10d|backend|package|MPI", match[0]):
            return (
                "this build of PyTorch has no such distributed backend",
                [
                    f"torch says: {code(message.splitlines()[0] if message else match[0])}; `nccl` needs Linux, a GPU and a CUDA build; `gloo` works everywhere"
                ],
                'use backend="gloo" here, or install a build that has the backend',
            )
        if re.search(r"uplicate GPU", match[0]):
            return (
                "two ranks use the same GPU",
                [
                    "NCCL wants a GPU for each rank: `torch.cuda.set_device(local_rank)` was not called, or more ranks run than there are GPUs"
                ],
                'call torch.cuda.set_device(int(os.environ["LOCAL_RANK"])) before init_process_group',
            )
        if re.search(r"name or service|gai|getaddr|hostname", match[0]):
            return (
                "the host name in `MASTER_ADDR` can't be resolved",
                [f"torch says: {code(message.splitlines()[0] if message else match[0])}"],
                "set MASTER_ADDR to an address that all nodes can reach",
            )
        waited = re.search(r"(?:after|(?P<ms>Timeout\(ms\)=)|timeout=?|exceeded)\s*(?P<time>\d+)\s*(?P<unit>seconds|s\b|ms)?", message)
        seconds = f"{int(waited['time']) / (1000 if waited['ms'] or waited['unit'] == 'ms' else 1):g}" if waited is not None else ""
        joined = f"{met['joined']} of {met['world']} processes" if met is not None else "not all processes"
        address = find(r"\[?([\w.-]+)\]?[:,]\s*(\d{4,5})\b", message)
        notes = [
            f"{joined} reached the store" + (f" within {seconds} s" if seconds else "") + (f" at {code(address)}" if address else ""),
            "the others did not start, died before, use another address, port or world size, or a firewall is between them",
        ]
        return (
            f"{joined} came to the rendezvous",
            notes,
            "see that every rank starts with the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE and reaches the port; read the logs of the missing ranks",
        )

    examples = (
        Example(
            {
                "start.py": """\
import torch
import torch.distributed as dist

dist.init_process_group("gloo")  #~ cause
print(dist.get_rank(), torch.ones(1).item())
"""
            },
            says=("RANK", "torchrun", "MASTER_ADDR"),
        ),
        Example(
            {
                "mean.py": """\
import torch
import torch.distributed as dist

total = torch.ones(3)
dist.all_reduce(total)  #~ cause
"""
            },
            says=("init_process_group", "torchrun"),
        ),
    )
    near_misses = (NearMiss({"env.py": "import os\nimport torch\nprint(torch.ones(1), os.environ['NO_SUCH_VARIABLE'])\n"}),)
    log_examples = (
        LogExample(
            """\
Traceback (most recent call last):
  File "/srv/job/main.py", line 18, in setup
    dist.init_process_group("nccl")
  File "/opt/env/lib/python3.11/site-packages/torch/distributed/rendezvous.py", line 190, in _create_c10d_store
    return TCPStore(
torch.distributed.DistStoreError: Timed out after 601 seconds waiting for clients. 3/8 clients joined.
""",
            says=("3 of 8", "601"),
            cause="/srv/job/main.py:18",
        ),
    )
    log_near_misses = (
        LogExample(
            'Traceback (most recent call last):\n  File "web.py", line 9, in <module>\n    app.run(port=8080)\nOSError: [Errno 98] Address already in use\n'
        ),
    )


def _all_words(evidence: Evidence) -> str:
    failure, words = evidence.failure, []
    while failure is not None:
        words += [failure.message, failure.error_module, *(f.span.file + " " + f.code for f in failure.frames)]
        failure = failure.caused_by
    return "\n".join(words)
