"""A gradient became nan, and anomaly detection stopped the backward there.

Erroneous code (TW1101):

{example}

Why: the derivative of `sqrt` at 0 is infinite, that of `log` and of a division too, and infinity times the 0 that comes back from behind is
nan. The values of the forward are all in order, so nothing shows there; from one such element the whole gradient becomes nan. A distance of
a sample to itself, the norm of a row of zeros, the standard deviation of equal values are the common zeros.

Fix: keep the argument away from the point: `x.clamp(min=1e-12).sqrt()`, `(x + eps).log()`, `F.normalize(x, eps=1e-8)`; or leave the elements
out before the op (a mask afterwards does not help: nan times 0 is nan).

Messages: `Function 'SqrtBackward0' returned nan values in its 0th output.` (with `torch.autograd.set_detect_anomaly(True)`).

Not to be confused with: `autograd.inplace-saved`, which anomaly detection tells of too; a loss that is nan already in the forward.
"""

from __future__ import annotations

import re

from ...family import Example, Family, LogExample, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, OpRecord
from ...reason import edits
from ...reason.compiled import frames_in
from ...reason.reading import Reading, reading
from ...reason.wording import code, first_fitting, place

_AT_ZERO = "its derivative is infinite at 0, and infinity times a gradient of 0 is nan"
_REASONS = (
    (
        r"r?sqrt|(?:linalg)?(?:vector)?norm|cdist|euclideandist|std",
        f"{_AT_ZERO}: an element that is exactly 0 (a distance to itself, a row of zeros) is enough",
    ),
    (r"log(?:2|10)?", f"{_AT_ZERO}: the logarithm of 0 is -inf already"),
    (r"div|reciprocal", "a divisor of 0 makes inf or nan, forward and backward"),
    (r"acos|asin|atanh", "its derivative is infinite at -1 and 1"),
    (r"exp|exp2|(?:log)?softmax|logsumexp", "large values overflow to inf, and inf - inf or inf · 0 is nan"),
)
_MET = "it met an infinite gradient (from a `sqrt`, `log`, norm or division of 0 behind it), or has no derivative at a value that it got"
_INFINITE = re.compile(r"r?sqrt|(?:linalg)?(?:vector)?norm|cdist|std|log(?:2|10)?|acos|asin")
_GUARDED = re.compile(r"sqrt|log|rsqrt|reciprocal")


class Nan(Family):
    code = "TW1101"
    title = "a gradient became nan"
    rank = 1
    triggers = (Trigger(r"Function '(?P<node>\w+?)(?:Backward\d*)?' returned nan values in its (?P<which>\d+)\w\w output"),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run, node = reading(evidence), _plain(match["node"])
        op = self._forward_op(run, node)
        before = None if any(re.fullmatch(pattern, node) for pattern, _ in _REASONS) else self._infinite(run)
        op = before or op
        name = op.name if op is not None else node
        why = next((why for pattern, why in _REASONS if re.fullmatch(pattern, _plain(name))), _MET)
        printed = frames_in(run, "Traceback of forward call that caused the error:")
        span = op.span if op is not None else printed[-1].span if printed else None
        notes = [f"{code(name)}: {why}"]
        notes.append(
            f"`{match['node']}` made the first nan of the backward: an infinite gradient reached it, as {code(name)} gives at 0"
            if before is not None
            else "all functions that the backward ran before it gave no nan: this one made the first"
        )
        if span is not None:
            notes.append(f"the forward call is at {place(span)}: {code(run.sources.segment(span) or printed[-1].code)}")
        fixes = [
            Fix(
                "keep its argument away from that value: `clamp(min=1e-12)` before it, or add a small eps such as 1e-8",
                self._clamped(run, op),
            )
        ]
        headline = first_fitting(f"the gradient of {code(name)} is nan", "a gradient is nan")
        return run.diagnosis(
            self, headline, span, "the first nan of the backward", trail=[Label(run.raised, "raised here")], notes=notes, fixes=fixes,
            confidence=Confidence.LIKELY if span is not None else Confidence.POSSIBLE,
        )  # fmt: skip

    def _forward_op(self, run: Reading, node: str) -> OpRecord | None:
        """The recorded call that made the node: the newest of its kind, where all of them stand on one line."""
        names = (node, f"linalg{node}", node.removeprefix("linalg"))
        return _on_one_line([o for o in run.evidence.ops if _plain(o.name) in names])

    def _infinite(self, run: Reading) -> OpRecord | None:
        """The one call in the program whose derivative can be infinite."""
        return _on_one_line([o for o in run.evidence.ops if _INFINITE.fullmatch(_plain(o.name))])

    def _clamped(self, run: Reading, op: OpRecord | None) -> edits.Edits:
        if op is None or op.span is None or not _GUARDED.search(op.name):
            return ()
        written = run.sources.operands(op.span, op.name)
        return edits.append_method(run.sources, written[0].span, ".clamp(min=1e-12)") if written else ()

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn

from spread import spread

torch.manual_seed(0)
torch.autograd.set_detect_anomaly(True)
net = nn.Linear(3, 2)
spread(net(torch.randn(6, 3))).backward()
""",
                "spread.py": """\
def spread(points):
    square = (points[:, None] - points[None]).pow(2).sum(-1)
    return square.sqrt().mean()  #~ cause
""",
            },
            says=("sqrt", "exactly 0", "clamp(min=1e-12)"),
            becomes="return square.clamp(min=1e-12).sqrt().mean()",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": "import torch\ntorch.autograd.set_detect_anomaly(True)\nx = torch.ones(3, requires_grad=True)\nx.sqrt().sum().backward()\n"
            }
        ),
    )
    log_examples = (
        LogExample(
            """\
/env/lib/python3.11/site-packages/torch/autograd/graph.py:829: UserWarning: Error detected in LogBackward0. Traceback of forward call that caused the error:
  File "/data/vae/fit.py", line 40, in <module>
    loss = entropy(net(x))
  File "/data/vae/losses.py", line 7, in entropy
    return -(p * p.log()).sum()
 (Triggered internally at /pytorch/torch/csrc/autograd/python_anomaly_mode.cpp:122.)
Traceback (most recent call last):
  File "/data/vae/fit.py", line 41, in <module>
    loss.backward()
RuntimeError: Function 'LogBackward0' returned nan values in its 0th output.
""",
            says=("log", "losses.py:7", "eps"),
            cause="losses.py:7",
        ),
    )


def _on_one_line(ops: list[OpRecord]) -> OpRecord | None:
    made = [o for o in ops if o.span is not None and o.outputs]
    return made[-1] if len({(o.span.file, o.span.line) for o in made if o.span is not None}) == 1 else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "").strip()
