"""The compiler's backend is missing, or failed to make code.

Erroneous code (TW1003):

{example}

Why: `torch.compile` hands its graph to a backend. The default, `inductor`, needs a C++ compiler for the CPU and Triton for a GPU (which Windows builds lack, and which wants compute capability 7.0 or newer). A name that no backend
has is refused at once; a compiler that is not installed shows only when the first graph is made.

Fix: install what is missing (a C++ compiler such as `g++`, the Python headers, `triton` in the version of this torch), choose a backend that is there (`torch._dynamo.list_backends()`, `backend="eager"` to find out who is at fault), or run without
`torch.compile`; `torch._dynamo.config.suppress_errors = True` falls back to eager.

Messages: `Invalid backend: 'inducter', see torch._dynamo.list_backends()`; `Cannot find a working triton installation`; `backend='inductor' raised: …`; `InvalidCxxCompiler: No working C++ compiler found`;
`Found … which is too old to be supported by the triton GPU compiler`; `Windows not yet supported for torch.compile`; `Python.h: No such file or directory`; `Compiler: cl is not found`.

Not to be confused with: `compile.graph-break`, `compile.dynamic-shape`.
"""

from __future__ import annotations

import difflib
import re

from ...family import Example, Family, LogExample, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason import edits
from ...reason.origins import origins
from ...reason.printed import around, find
from ...reason.reading import Cause, Reading, reading
from ...reason.wording import code, first_fitting

_KNOWN = ("inductor", "eager", "aot_eager", "cudagraphs", "onnxrt", "openxla", "tensorrt", "tvm")


class Backend(Family):
    code = "TW1003"
    title = "the compiler's backend is missing or failed"
    rank = 3
    triggers = (
        Trigger(r"[Ii]nvalid backend: ?'(?P<name>[^']+)'(?=.*list_backends)"),
        Trigger(
            r"(?P<triton>working triton installation|triton (?:is )?not (?:found|installed)|No module named 'triton|TritonMissing|Triton is not)"
        ),
        Trigger(
            r"(?P<compiler>No working C\+\+ compiler|InvalidCxxCompiler|Compiler: \S+ is not found|Python\.h: No such file|CppCompileError|C\+\+ compile error)"
        ),
        Trigger(r"too old to be supported by the triton GPU compiler[^\n]*?(?:capability (?P<needed>[\d.]+))?"),
        Trigger(
            r"(?P<windows>Windows not yet supported for torch\.compile|[Dd]ynamo is not supported on|Python 3\.\d+\+? not yet supported for torch\.compile)"
        ),
        Trigger(r"backend='(?P<failed>\w+)' raised:\s*(?P<why>[^\n]*)|PTXASError|(?P<ptx>ptxas)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        message, text = run.failure.message, around(evidence)
        if groups.get("name"):
            return self._unknown(run, groups["name"])
        if groups.get("triton"):
            return self._plain(run, "the compiler needs Triton, which is not installed", ["`inductor` makes GPU code by Triton; Windows builds and some environments have none"],
                               "install the triton that belongs to this torch (on Windows: triton-windows), or compile with backend=\"eager\" or not at all")  # fmt: skip
        if groups.get("compiler"):
            said = find(r"[^\n]*(?:Compiler|compiler|Python.h|CXX)[^\n]*", message)
            return self._plain(run, "the compiler needs a C++ compiler, and none works here", [f"it says: {code(said)}", "`inductor` makes CPU code by g++, clang or cl, with Python's headers"],
                               "install a C++ compiler (g++, build-essential, Visual Studio) and Python's headers, or name one in CXX")  # fmt: skip
        if "too old" in match[0]:
            gpu, level = find(r"Found ([\w -]+?) which", text, 1), find(r"capability (\d\.\d)", text, 1)
            return self._plain(
                run,
                f"{code(gpu) if gpu else 'the GPU'} is too old for Triton",
                [f"its compute capability is {level or 'lower'}; Triton wants 7.0 or newer"],
                'leave torch.compile out on this GPU, or use backend="eager" or "aot_eager"',
            )
        if groups.get("windows"):
            return self._plain(
                run,
                "torch.compile does not work on this system or Python",
                [f"torch says: {code(message.splitlines()[0] if message else match[0])}"],
                "run without torch.compile here, or use a newer torch or another Python",
            )
        why = (groups.get("why") or find(r"raised:\s*\n?([^\n]+)", message, 1)).strip()
        name = groups.get("failed") or "inductor"
        return self._plain(run, f"the backend {code(name)} failed to make code: {why[:60]}", [f"it says: {code(why)}" if why else "", 'with backend="eager" or "aot_eager" the step at fault shows: the graph, autograd or the code generator'],
                           'find the step at fault with backend="eager", then "aot_eager"; update torch')  # fmt: skip

    def _unknown(self, run: Reading, name: str) -> Diagnosis:
        near = difflib.get_close_matches(name, _KNOWN, 1, 0.6)
        chain = next(
            (
                c
                for e in run.sources.arguments(run.raised)
                if e.keyword == "backend"
                for c in [origins(run.sources, e.span, run.calls)]
                if c
            ),
            (),
        )
        cause = Cause(chain[-1].span, chain) if chain else None
        known = (
            f"it is near {code(near[0])}"
            if near
            else f"known are {', '.join(code(k) for k in _KNOWN[:3])} and what `torch._dynamo.list_backends()` lists"
        )
        edit = (
            edits.replace_text(cause.span, f'"{near[0]}"')
            if near and cause is not None and run.sources.segment(cause.span).strip("'\"") == name
            else ()
        )
        title = (
            f"name the backend {near[0]}"
            if near
            else "name a backend that torch._dynamo.list_backends() lists, or install the package that brings it"
        )
        return run.diagnosis(
            self, first_fitting(f"no compiler backend is called {code(name)}"), cause or run.raised, "the name is given here", notes=[known],
            fixes=[Fix(title, edit, "safe" if edit else "display-only")], confidence=Confidence.CERTAIN,
        )  # fmt: skip

    def _plain(self, run: Reading, headline: str, notes: list[str], fix: str) -> Diagnosis:
        return run.diagnosis(
            self,
            first_fitting(headline, headline.partition(":")[0]),
            run.raised,
            "",
            notes=notes,
            fixes=[Fix(fix, (), "display-only")],
            confidence=Confidence.LIKELY,
        )

    examples = (
        Example(
            {
                "fast.py": 'import torch\n\nfast = torch.compile(torch.nn.Linear(2, 2), backend="inducto")  #~ cause\nprint(fast(torch.ones(1, 2)).shape)\n'
            },
            says=("inducto", "inductor"),
        ),
    )
    near_misses = (NearMiss({"ok.py": "import torch\nprint(torch.compile(lambda x: x, backend='eager')(torch.ones(1)))\n"}),)
    log_examples = (
        LogExample(
            """\
Traceback (most recent call last):
  File "run.py", line 14, in <module>
    out = model(x)
torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:
RuntimeError: Cannot find a working triton installation. Either the package is not installed or it is too old.
""",
            says=("Triton", "install"),
            cause="run.py:14",
        ),
    )
