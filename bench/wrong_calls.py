"""torch's own database of wrong calls, each under torchwhy: does every one that raises get a specific diagnosis, and how often are we at fault?

    python bench/wrong_calls.py [PATTERN] [--write docs/wrong-calls.md] [--missed] [--json FILE]

torch.testing._internal holds, for its own tests, calls that must fail: error inputs of ops, of Python references, of sparse layouts, of modules and of
optimizers. One process loads them all and forks a child for each, in which a program of a few lines makes the call. A diagnosis counts as specific when it
names the op, and in its headline or notes one of the call's parameters. Needs the package `expecttest`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import sys
import tempfile
import time
import types
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402
import torch._dynamo  # noqa: E402
from laboratory import become, wait_for  # noqa: E402

LAYOUTS = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


@dataclass(frozen=True)
class Case:
    """One wrong call: the program that makes it, and the live values that it takes from the module `given`."""

    source: str
    op: str
    program: str
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What became of it."""

    case: Case
    raised: bool
    found: bool = False
    specific: bool = False
    family: str = ""
    headline: str = ""
    message: str = ""
    problems: tuple[str, ...] = ()
    text: str = ""


# ── the database ──────────────────────────────────────────────────────────────────────────────────────────────────────
def cases() -> Iterator[Case]:
    from torch.testing._internal.common_methods_invocations import op_db, python_ref_db
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db
    from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

    for source, database in (("ops", op_db), ("references", python_ref_db)):
        for info in database:
            for wrong in _listed(lambda info=info: info.error_inputs("cpu")):
                yield _op_case(source, info, wrong.sample_input)
    for info in op_db:
        for layout in LAYOUTS:
            for wrong in _listed(lambda info=info, layout=layout: info.error_inputs_sparse("cpu", layout)):
                yield _op_case("sparse", info, wrong.sample_input)
    for info in module_db:
        for training in (True, False) if info.module_error_inputs_func else ():
            made = _listed(lambda info=info, training=training: info.module_error_inputs_func(info, "cpu", torch.float32, False, training))
            for wrong in made:
                forward = wrong.error_on is ModuleErrorEnum.FORWARD_ERROR
                yield _module_case(info, wrong.module_error_input, forward)
    for info in optim_db:
        for wrong in _listed(lambda info=info: info.optim_error_inputs_func("cpu", torch.float32)) if info.optim_error_inputs_func else ():
            yield _optimizer_case(info, wrong.optimizer_error_input, wrong.error_on is not OptimizerErrorEnum.CONSTRUCTION_ERROR)


def _listed(make: Any) -> list[Any]:
    """The inputs; none where the database itself skips or lacks them."""
    try:
        return list(make())
    except (Exception, SystemExit):  # unittest.SkipTest, and functions that are not there
        return []


def _call(path: str, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: dict[str, Any]) -> str:
    """The text of a call; values that have no short text of their own are taken from `given`."""
    at: Any = torch
    for part in path.split("."):
        at = getattr(at, part, None)
    name = f"torch.{path}" if at is target and at is not None else "call"
    if name == "call":
        given["call"] = target
    words = [_word(f"a{number}", value, given) for number, value in enumerate(args)]
    words += [f"{key}={_word(key, value, given)}" for key, value in kwargs.items()]
    return f"{name}({', '.join(words)})"


def _word(name: str, value: Any, given: dict[str, Any]) -> str:
    if type(value) in (int, bool, str, type(None)) or type(value) is float and math.isfinite(value):
        return repr(value)
    if isinstance(value, (torch.dtype, torch.layout)):
        return str(value)
    if type(value) in (tuple, list) and all(type(item) is int for item in value):
        return repr(value)
    given[name] = value
    return name


def _program(call: list[str], given: Mapping[str, Any]) -> str:
    imports = ["import torch", *([f"from given import {', '.join(given)}"] if given else [])]
    return "\n".join((*imports, "", *call, ""))


def _op_case(source: str, info: Any, sample: Any) -> Case:
    given: dict[str, Any] = {}
    target = info.op
    path = info.name if source != "references" else info.name
    call = _call(path, target, (sample.input, *sample.args), sample.kwargs, given)
    return Case(source, info.name, _program([f"out = {call}"], given), given)


def _module_case(info: Any, wrong: Any, forward: bool) -> Case:
    given: dict[str, Any] = {}
    kind = info.module_cls
    made = wrong.constructor_input
    text = _call(f"nn.{kind.__name__}", kind, made.args, made.kwargs, given)
    lines = [f"model = {text}"]
    if forward and wrong.forward_input is not None:
        more: dict[str, Any] = {}
        taken = wrong.forward_input
        passed = _call("-", None, taken.args, taken.kwargs, more)
        more.pop("call")
        given.update({f"x_{name}": value for name, value in more.items()})
        for name in more:
            passed = re.sub(rf"(?<![\w=.]){name}(?![\w=])", f"x_{name}", passed)
        lines.append(f"y = model{passed.removeprefix('call')}")
    return Case("modules", f"nn.{kind.__name__}", _program(lines, given), given)


def _optimizer_case(info: Any, wrong: Any, step: bool) -> Case:
    kind = info.optim_cls
    given: dict[str, Any] = {"params": wrong.params}
    words = [f"{key}={_word(key, value, given)}" for key, value in wrong.kwargs.items()]
    lines = [f"optimizer = torch.optim.{kind.__name__}(params{''.join(', ' + word for word in words)})"]
    return Case("optimizers", f"optim.{kind.__name__}", _program([*lines, *(["optimizer.step()"] if step else [])], given), given)


# ── running ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def run(case: Case) -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "main.py").write_text(case.program, encoding="utf-8")
        report = folder / "report.json"
        child = os.fork()
        if not child:
            module = types.ModuleType("given")
            vars(module).update(case.given)
            sys.modules["given"] = module
            warnings.simplefilter("ignore")
            become(
                {
                    "folder": name,
                    "script": "main.py",
                    "out": f"{name}/out",
                    "err": f"{name}/err",
                    "report": str(report),
                    "mode": "adaptive",
                    "verify": "",
                }
            )
        code = wait_for(child)
        said = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
    return _row(case, code, said)


def _row(case: Case, code: int, said: dict[str, Any] | None) -> Row:
    if said is None:
        return Row(case, True, problems=(f"no report; exit code {code}",))
    found = said["diagnoses"]
    failure = said["failure"] or {}
    if not failure:
        return Row(case, False, problems=tuple(said["problems"]))
    first = found[0] if found else {}
    text = "\n".join((first.get("headline") or "", *(first.get("notes") or ()))).lower()
    return Row(
        case,
        True,
        bool(found),
        bool(found) and _is_specific(case, said, text),
        first.get("family", ""),
        first.get("headline", ""),
        failure.get("message", ""),
        tuple(said["problems"]),
        first.get("rendered", ""),
    )


def _is_specific(case: Case, said: dict[str, Any], text: str) -> bool:
    evidence = said["incident"]["evidence"]
    call = evidence.get("call") or {}
    operands = (evidence.get("failure") or {}).get("operands") or ()
    names = {p.get("name", "").lower() for p in (*call.get("parameters", ()), *operands, *({"name": o.get("parameter")} for o in operands))}
    names = {name.partition("[")[0] for name in names if name}
    ops = {
        case.op.rpartition(".")[2].lower(),
        call.get("name", "").lower(),
        *[(failed or "").lower() for failed in [(said["failure"] or {}).get("op")]],
    }
    flat = str(said["diagnoses"][0].get("rendered")).lower().replace("_", "")
    is_op = any(op and op.strip("_").replace("_", "") in flat for op in ops)
    return is_op and any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def table(rows: list[Row]) -> str:
    sources = list(dict.fromkeys(row.case.source for row in rows))
    lines = [
        "# torch's own wrong calls",
        "",
        "torch ships, for its own tests, a database of calls that must fail. Each runs as a small program under torchwhy; a diagnosis counts as",
        "specific when it names the op and, in its headline or notes, one of the call's parameters. Calls that do not raise on a CPU are left out.",
        "",
        f"torch {torch.__version__}, Python {platform.python_version()}, made by `python bench/wrong_calls.py --write docs/wrong-calls.md`.",
        "",
        "| inputs | wrong calls that raise | diagnosed | specific | faults of ours |",
        "| --- | --- | --- | --- | --- |",
    ]
    for source in (*sources, "all"):
        own = [row for row in rows if source in (row.case.source, "all") and row.raised]
        faults = sum(bool(row.problems) for row in own)
        lines.append(f"| {source} | {len(own)} | {_share(own, 'found')} | {_share(own, 'specific')} | {faults} |")
    lines += ["", "## By op", "", "| op | inputs | raise | specific | families |", "| --- | --- | --- | --- | --- |"]
    by_op: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.raised:
            by_op[row.case.op, row.case.source].append(row)
    for (op, source), own in sorted(by_op.items()):
        families = Counter(row.family for row in own if row.family)
        told = ", ".join(f"{name} {count}" if len(families) > 1 else name for name, count in families.most_common())
        lines.append(f"| `{op}` | {source} | {len(own)} | {sum(row.specific for row in own)} | {told} |")
    return "\n".join(lines) + "\n"


def _share(rows: list[Row], name: str) -> str:
    count = sum(bool(getattr(row, name)) for row in rows)
    return f"{count} ({100 * count / max(1, len(rows)):.1f} %)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="", help="only calls whose source and op match")
    parser.add_argument("--write", type=Path, help="write the table to this file")
    parser.add_argument("--missed", action="store_true", help="print every call without a specific diagnosis")
    parser.add_argument("--json", type=Path, help="write every row to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    import torchwhy.catalogue
    import torchwhy.diagnose
    import torchwhy.evidence.gather
    import torchwhy.record.recorder
    import torchwhy.render.json

    torchwhy.catalogue.load()
    began = time.monotonic()
    rows = [run(case) for case in cases() if re.search(options.pattern, f"{case.source} {case.op}")]
    told = table(rows)
    print(told.partition("## By op")[0].partition("| inputs")[2].join(("| inputs", "")))
    print(f"{len(rows)} calls in {time.monotonic() - began:.0f} s")
    for row in rows:
        if row.problems:
            print("fault:", row.case.op, row.problems)
        if options.missed and row.raised and not row.specific:
            print(f"{row.case.source} {row.case.op}: {row.message.splitlines()[:1]} | {row.family} {row.headline}")
            print("    " + row.case.program.replace("\n", "\n    "))
    if options.json:
        plain = [
            {
                "source": r.case.source,
                "op": r.case.op,
                "program": r.case.program,
                **{k: getattr(r, k) for k in ("raised", "found", "specific", "family", "headline", "message", "problems", "text")},
            }
            for r in rows
        ]
        options.json.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    if options.write:
        options.write.write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
