"""The compiler can't follow the program, and was told to make one whole graph of it.

Erroneous code (TW1001):

{example}

Why: `torch.compile` reads the Python of a function. What depends on values of tensors (`if x.sum() > 0`, `.item()`), prints, calls code that it can't read, or an object that it does not know breaks the graph in two. Without
`fullgraph=True` that only costs time; with it, and under `torch.export`, it is an error.

Fix: express the branch on tensors (`torch.where`, `torch.cond`), move printing, logging and NumPy out of the compiled function, compile only the part that is pure tensor code, or leave `fullgraph=True` out.

Messages: `Unsupported: Data-dependent branching`; `Dynamic control flow is not supported at the moment. Please use torch.cond`; `Failed to trace builtin operator`; `Attempted to call function marked as skipped`;
`Tensor.item`; `call_method … not implemented`; each names its place after `from user code:`.

Not to be confused with: `compile.dynamic-shape`, `compile.backend`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, LogExample, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label
from ...reason import edits
from ...reason.compiled import decides_branch, user_stack
from ...reason.loaders import only_setting
from ...reason.printed import find
from ...reason.reading import reading
from ...reason.wording import code, first_fitting, place

_BRANCH = re.compile(r"data-dependent|control flow|conditional|jump with|torch\.cond", re.IGNORECASE)
_SILENT = re.compile(
    r"recompile|cache_size|specialized it to be a constant|Constraints violated|data-dependent (?:symbolic )?expression|nvalid backend",
    re.IGNORECASE,
)


class GraphBreak(Family):
    code = "TW1001"
    title = "the compiler can't follow the program"
    rank = 1
    triggers = (
        Trigger(
            r"\A(?P<first>[^\n]*)",
            types=(
                "Unsupported",
                "TorchRuntimeError",
                "InternalTorchDynamoError",
                "ObservedException",
                "UncapturedHigherOrderOpError",
                "SkipFrame",
            ),
        ),
        Trigger(
            r"\A(?=.*(?:control flow|data-dependent|dynamo|not supported|graph break|consider using))(?P<first>[^\n]*)",
            types=("UserError",),
        ),
        Trigger(r"data-dependent expression (?P<guard>[^\n]*)"),
        Trigger(
            r"\A(?=.*\nfrom user code:)(?P<first>[^\n]*)",
            types=("BackendCompilerFailed", "RuntimeError", "AssertionError", "TypeError", "AttributeError"),
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        message = run.failure.message
        stack, guard = user_stack(run), match.groupdict().get("guard")
        if _SILENT.search(message) if guard is None else not decides_branch(guard, stack):
            return None
        first = (match.groupdict().get("first") or message.strip().split("\n")[0]).strip()
        at = stack[-1].span if stack else run.raised
        line = code(stack[-1].code) if stack and stack[-1].code else ""
        explanation = find(r"Explanation: ([^\n]+)", message, 1)
        hints = re.findall(r"Hint: ([^\n]+)", message)
        is_branch = bool(_BRANCH.search(first + explanation))
        notes = [f"the compiler says: {first}" + (f": {explanation}" if explanation else "")]
        if line:
            notes.append(f"it stopped at {place(at)}: {line}")
        if is_branch:
            notes.append("the branch depends on the values in a tensor, which are not known while the graph is made")
        notes += [f"its hint: {hint}" for hint in hints[:2] if "report an issue" not in hint.lower()]
        headline = (
            f"a branch on a tensor's value can't be compiled: {line}"
            if is_branch and line
            else f"the compiler can't follow {line}"
            if line
            else f"the compiler stopped: {first}"
        )
        fixes = [
            Fix(
                "express it on tensors: torch.where, or torch.cond for two branches"
                if is_branch
                else "move this line out of the compiled function",
                (),
                "display-only",
            )
        ]
        asked = only_setting(run, "fullgraph", True)
        parted = edits.replace_text(asked, "False") if asked is not None else ()
        title = "compile without fullgraph=True: the graph breaks here, and the rest is compiled"
        fixes.append(Fix(title, parted, changes="a graph break costs time at every call"))
        trail = (*(Label(f.span, "") for f in stack[:-1]), Label(run.raised, "raised here"))
        return run.diagnosis(
            self, first_fitting(headline, "a branch on a tensor's value can't be compiled" if is_branch else "the compiler can't follow this line of the program"), at,
            "the graph breaks here", trail=trail, notes=notes, fixes=fixes, confidence=Confidence.LIKELY,
        )  # fmt: skip

    examples = (
        Example(
            {
                "clip.py": """\
import torch


def soften(x):
    if x.norm() > 1:  #~ cause
        x = x / x.norm()
    return x


fast = torch.compile(soften, backend="eager", fullgraph=True)
print(fast(torch.ones(4)))
"""
            },
            says=("branch", "x.norm() > 1", "torch.cond", "fullgraph"),
        ),
        Example(
            {
                "log.py": """\
import torch


@torch.compile(backend="eager", fullgraph=True)
def step(x):
    y = x * 2
    print("mean", y.mean())  #~ cause
    return y


print(step(torch.ones(4)).shape)
"""
            },
            says=("print", "fullgraph"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\nprint(torch.compile(lambda x: x * 2, backend='eager', fullgraph=True)(torch.ones(2)))\n"}),
    )
    log_examples = (
        LogExample(
            """\
Traceback (most recent call last):
  File "bench.py", line 30, in <module>
    y = model(x)
torch._dynamo.exc.Unsupported: Tensor.item() call with capture_scalar_outputs=False
  Explanation: Dynamo does not support tracing `.item()` with config.capture_scalar_outputs=False.

from user code:
   File "/srv/net.py", line 88, in forward
    k = int(mask.sum().item())
""",
            says=("item", "mask.sum()", "net.py:88"),
            cause="/srv/net.py:88",
        ),
    )
