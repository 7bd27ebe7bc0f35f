"""Failures that leave no traceback: processes that were killed, C++ exceptions, watchdogs, an error's line alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from ...model import Failure
from .formats import TYPED
from .lines import Line

_TERMINATE = re.compile(r"terminate called after throwing an instance of '(?P<type>[^']{1,200})'")
_WHAT = re.compile(r"^\s*what\(\):\s*(?P<message>.*)$")
_WATCHDOG = re.compile(
    r"Watchdog caught collective operation timeout: .*|(?:NCCL|Process group) watchdog thread terminated with exception: .*|Detected mismatch between collectives .*"
)
_GPU = re.compile(r"CUDA error: .*|NCCL error.*|CUDA out of memory.*")
_KILLED = re.compile(
    r"exitcode\s{0,20}:\s{0,20}(?P<code>-?\d{1,9}) |\(exitcode: (?P<code2>-?\d{1,9})\)|Signal \d+ \((?P<name>SIG\w+)\) received"
    r"|[Oo]ut of memory: Kill(?P<oom>ed)? process \d+|[Dd]etected \d+ oom[-_]kill (?P<slurm>event)|oom-kill:|OOM[Kk]illed(?P<k8s>)|^\S{0,300}(?:line \d{1,9}: {1,9})?(?:\d{1,9} )?(?P<shell>Killed)\b(?!:)|[\]:|>)] +(?:\d+ +)?(?P<shell2>Killed)(?= *$| {2,}\S)"
    r"|(?P<segv>Segmentation fault)(?: \(core dumped\))?|exit (?:code|status):? (?P<exit>137|139|134|135)\b|(?P<bus>Bus error)(?: \(core dumped\)|$)"
)
_VICTIM = re.compile(r"Kill(?:ed)? process \d+,? \(([^)\n]{1,60})\)|oom-kill:.{0,600}\btask=([^,\s]{1,60})")
_OURS = re.compile(r"python|^pt_|torch|accelerate|deepspeed|ray|ipykernel|jupyter|\.py\b|train", re.IGNORECASE)
_TYPELESS = re.compile(
    r"(?P<message>CUDA error: (?:an? |no |unspecified |out of |invalid |device|mis|all |unknown |system|initial|too |the |driver|CUDA|operation|peer|context|feature|hardware|illegal|busy)\S.*"
    r"|(?:Unable to load any of \{lib|Could not load (?:dynamic )?library:? '?lib|Cannot load symbol cu|lib\w{1,80}\.so[\w.]{0,40}: cannot open shared).*"
    r"|CUDA out of memory\. Tried to allocate .*|CUDNN_STATUS_[A-Z_]+.*|CUBLAS_STATUS_[A-Z_]+.*"
    r"|ncclUnhandledCudaError: .*|(?:The )?IPv[46] network addresses of .{0,300} cannot be retrieved.*|NCCL error .*|(?<![^\s:])[^\s:]{1,300}\.cuh?:\d{1,9}: .{0,300}Assertion `.{0,200}['`] ?failed.*)"
)
_STRANGE = re.compile(
    r"^\W{0,3}(?:(?P<npm>npm (?:ERR!|error) .+)|(?P<compiler>[^\s:]+:\d+(?::\d+)?: (?:fatal )?error: .+|error(?:\[E\d+\])?: .+|ld: .+|make(?:\[\d+\])?: \*\*\* .+)"
    r"|(?P<shell>.{0,80}: command not found|(?:ba|z|da)?sh: .+: (?:No such file or directory|[Pp]ermission denied)|python[\d.]*: (?:can't open file|No module named|Error while).+|[\w.-]+\.py: error: .+|Illegal instruction.*)"
    r"|(?P<pip>ERROR: (?:Could not|No matching|Cannot|Failed|Package|Invalid|Command errored).+)|(?P<git>fatal: .+)|(?P<java>Exception in thread .+)"
    r"|(?P<go>panic: .+)|(?P<node>(?:Uncaught )?Error: .+)|(?P<cuda>GPUassert: .+|CUDA error at .+))$"
)
_NAMES = {
    9: "SIGKILL",
    11: "SIGSEGV",
    6: "SIGABRT",
    7: "SIGBUS",
    15: "SIGTERM",
    137: "SIGKILL",
    139: "SIGSEGV",
    134: "SIGABRT",
    135: "SIGBUS",
}
_NOT_A_FAILURE = ("KeyboardInterrupt",)


def signs(lines: Sequence[Line], taken: frozenset[int]) -> Iterator[tuple[int, Failure]]:
    """The failures on lines that no traceback holds (`taken`), with the place of each."""
    killed: list[Line] = []
    names: list[str] = []
    at = 0
    for place, line in enumerate(lines):
        text = line.text
        if place in taken or not text or len(text) > 4000:
            continue
        if (thrown := _TERMINATE.search(text)) is not None:
            yield place, _thrown(lines, place, thrown["type"])
        elif (watched := _WATCHDOG.search(text)) is not None and not _WHAT.match(text):
            yield place, _watched(lines, place, watched[0], taken)
        elif (
            (typed := TYPED.match(text)) is not None
            and not typed["type"].endswith("Warning")
            and (said := _said(lines, place, typed, taken))
        ):
            module, _, name = typed["type"].rpartition(".")
            yield place, _at(line, name, said, module or "builtins")
        elif (death := _KILLED.search(text)) is not None and (name := _signal(death)) and not (taken and _is_anothers(text)):
            if not killed:
                at = place
            killed.append(line)
            names.append(name)
    if killed:
        chief = max(set(names), key=lambda n: (n == "SIGKILL", n == "SIGSEGV", n != "SIGTERM", names.count(n)))
        first = next(line for line, name in zip(killed, names) if name == chief)
        message = "\n".join(dict.fromkeys(line.text.strip() for line in killed[:12]))
        ranks = re.search(r"(?:local_)?rank\s{0,20}:?\s{0,20}(\d+)", message)
        yield at, _at(first, chief, message, "signal", int(ranks[1][:6]) if ranks else None)


def typeless(lines: Sequence[Line]) -> Iterator[tuple[int, Failure]]:
    """A message of torch's without its type, for texts that hold nothing better."""
    for place, line in enumerate(lines):
        found = _TYPELESS.search(line.text[:4000])
        if found is not None:
            yield place, _at(line, "RuntimeError", "\n".join([found["message"], *_more(lines, place + 1, frozenset())]), "builtins")
            return


def _watched(lines: Sequence[Line], place: int, message: str, taken: frozenset[int]) -> Failure:
    """A watchdog's word: a wait in vain, or what ended the GPU's work on this very rank."""
    own = _GPU.search(message)
    rank = re.search(r"\[Rank (\d+)\]|\bRank (\d+)\]", lines[place].text)
    number = int((rank[1] or rank[2])[:6]) if rank is not None else None
    if own is None:
        return _at(lines[place], "DistBackendError", message, "torch.distributed", number)
    return _at(lines[place], "RuntimeError", "\n".join([own[0], *_more(lines, place + 1, taken)]), "builtins", number)


def _said(lines: Sequence[Line], place: int, typed: re.Match[str], taken: frozenset[int]) -> str:
    """The message of an error's line; where it begins on the line below (`RuntimeError:` alone), the paragraph there."""
    if (typed["message"] or "").endswith("raised:") and place + 1 < len(lines):
        return "\n".join([typed["message"], lines[place + 1].text])
    if typed["message"]:
        return "\n".join([typed["message"], *_more(lines, place + 1, taken)])
    if not lines[place].text.rstrip().endswith(":"):
        return ""
    below = [line.text for line in lines[place + 1 : place + 30]]
    return "\n".join(takewhile(lambda text: not TYPED.match(text), below)).strip()


def strange(lines: Sequence[Line]) -> Iterator[tuple[int, Failure]]:
    """What programs other than Python say when they fail, for texts that hold nothing else; the module names whose words they are."""
    for place, line in enumerate(lines):
        found = _STRANGE.match(line.text[:1000]) if line.text else None
        if found is not None:
            who, said = next((name, text) for name, text in found.groupdict().items() if text)
            yield place, _at(line, f"{who} error", said, who)
            return


def _is_anothers(text: str) -> bool:
    """Whether the kernel's word is of a program that trains nothing."""
    named = _VICTIM.search(text)
    return named is not None and not _OURS.search(named[1] or named[2])


def _signal(death: re.Match[str]) -> str:
    groups = death.groupdict()
    if groups["name"]:
        return groups["name"]
    number = groups["code"] or groups["code2"] or groups["exit"]
    if number:
        value = int(number[:6])
        return _NAMES.get(-value if value < 0 else value, "") if value < 0 or value > 128 else ""
    return "SIGSEGV" if groups["segv"] else "SIGBUS" if groups["bus"] else "SIGKILL"


def _thrown(lines: Sequence[Line], place: int, kind: str) -> Failure:
    module, _, name = kind.rpartition("::")
    for after in range(place + 1, min(place + 6, len(lines))):
        said = _WHAT.match(lines[after].text)
        if said is not None:
            if "watchdog" in said["message"]:
                return _watched(lines, after, said["message"], frozenset())
            return _at(lines[place], name or kind, "\n".join([said["message"], *_more(lines, after + 1, frozenset())]), module or "std")
    return _at(lines[place], name or kind, "", module or "std")


def _more(lines: Sequence[Line], place: int, taken: frozenset[int]) -> list[str]:
    """Lines that go on with a message: indented, or of the kinds that torch adds; a C++ stack is left out."""
    said: list[str] = []
    while place < len(lines) and len(said) < 40 and place not in taken:
        text = lines[place].text
        if re.match(r"^(?:Exception raised from|frame #\d+|C\+\+ CapturedTraceback|\s*$)", text):
            break
        if not re.match(
            r"^(?:\s+\S|CUDA kernel|For debugging|Compile with|Last error|nccl\w+:|Check the|Please|size mismatch|Currently allocated|Requested  |Device limit|Free \()",
            text,
        ):
            break
        said.append(text)
        place += 1
    return said


def _at(line: Line, kind: str, message: str, module: str, rank: int | None = None) -> Failure:
    return Failure(kind, message, module, rank=line.rank if line.rank is not None else rank, log_line=line.number)
