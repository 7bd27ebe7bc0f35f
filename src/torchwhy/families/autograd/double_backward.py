"""A backward needs a part of the graph that an earlier backward has freed.

Erroneous code (TW0408):

```python
{example}
```

Why: the first `backward()` through a graph frees what its operations had saved. A second one through the same part finds nothing there.
Three habits lead to it: a state (an RNN's hidden state, a running sum of losses) that carries the graph of one step into the next; a
tensor computed from parameters once, before the loop; two losses that share a piece of the forward pass and call `backward()` one after
the other.

Fix: cut a state off with `detach()` when the step is over; compute what depends on parameters anew in each step; add losses up and call
`backward()` once, or keep the graph for the second call with `retain_graph=True` (never to hide one of the first two: after an optimizer
step the old graph is out of date, and with a kept state each step is slower than the last).

Messages: `Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed).`;
`trying to differentiate twice a function that was marked with @once_differentiable`; before torch 1.9: `the saved intermediate results
have already been freed`.

Not to be confused with: `autograd.inplace-saved`, where the graph is still there but a tensor it saved was overwritten.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label
from ...reason import edits
from ...reason.reading import Reading, reading
from ...reason.reuse import Reuse, reuse
from ...reason.reuse_edits import detached, moved
from ...reason.wording import code, fitting, listed, place


class DoubleBackward(Family):
    code = "TW0408"
    title = "a backward runs through a graph that an earlier backward has freed"
    triggers = (
        Trigger(
            r"[Tt]rying to backward through the graph a second time|saved (intermediate results|tensors after they) have already been freed"
        ),
        Trigger(r"[Tt]rying to differentiate twice a function that was marked with @once_differentiable"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if "once_differentiable" in match[0]:
            headline = "a function whose backward has no derivative of its own is differentiated twice"
            return run.diagnosis(self, headline, None, notes=("its backward is marked `@once_differentiable`",))
        found = reuse(run)
        if found is None:
            return self._unrecorded(run)
        name = code(found.name) if found.name else "a tensor"
        earlier = f"the backward at {place(found.before.span)}"
        headline, because, notes = _words(run, found, name, earlier)
        met = found.meeting
        sure = (
            Confidence.CERTAIN
            if met is None or met.op is not None and (met.user is not None or found.kind != "losses")
            else Confidence.POSSIBLE
        )
        labels = [Label(found.cause, because), Label(found.before.span, "this backward freed the graph")] if found.before.span else []
        if found.meeting is not None and found.meeting.user is not None and found.meeting.user.span is not None:
            labels.append(Label(found.meeting.user.span, f"{name} enters the new graph"))
        trail = (*dict.fromkeys(labels[1:] if labels and labels[0].span == found.cause else labels), Label(run.raised, "raised here"))
        return run.diagnosis(
            self, headline, found.cause, because, trail=trail, notes=notes, fixes=_fixes(run, found, name), confidence=sure
        )

    def _unrecorded(self, run: Reading) -> Diagnosis:
        root = next(iter(run.op.inputs), None) if run.op is not None else None
        name = code(run.name_of(root) or run.sources.segment(run.raised).partition(".backward")[0]) if root is not None else "this backward"
        freed = sorted({n.name.removesuffix("0").removesuffix("Backward") for n in run.evidence.graph if any(s.freed for s in n.saved)})[:4]
        notes = ("the earlier backward was not recorded",) if not freed else (f"freed below it: {listed([code(f) for f in freed])}",)
        advice = "a state kept across steps needs `detach()`, two losses on one forward pass need `retain_graph=True` or a sum"
        headline = fitting(
            f"{name} needs a graph that an earlier backward has freed", "this backward needs a graph that an earlier one has freed"
        )
        return run.diagnosis(self, headline, None, notes=(*notes, advice))

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn

torch.manual_seed(0)
rnn = nn.GRU(3, 5, batch_first=True)
head = nn.Linear(5, 1)
optimizer = torch.optim.SGD([*rnn.parameters(), *head.parameters()], lr=0.1)
state = None
for chunk in torch.randn(4, 2, 6, 3):
    out, state = rnn(chunk, state)  #~ cause
    loss = head(out[:, -1]).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
            },
            says=("`state`", "hidden state", "detach", "train.py:13"),
            becomes="out, state = rnn(chunk, state)",
        ),
        Example(
            {
                "fit.py": """\
import torch
from filters import Smooth

torch.manual_seed(0)
model = Smooth(5)
optimizer = torch.optim.Adam(model.parameters())
for batch in torch.randn(3, 8, 5):
    loss = model(batch).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
                "filters.py": """\
import torch
from torch import nn


class Smooth(nn.Module):
    def __init__(self, taps):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(taps))
        self.weights = torch.softmax(self.logits, dim=0)  #~ cause

    def forward(self, x):
        return x @ self.weights
""",
            },
            says=("`self.weights`", "once in `__init__`", "`Adam.step`", "fit.py:10"),
        ),
        Example(
            {
                "gan.py": """\
import torch
from torch import nn

torch.manual_seed(0)
maker, judge = nn.Linear(4, 3), nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
maker_steps = torch.optim.Adam(maker.parameters())
judge_steps = torch.optim.Adam(judge.parameters())
for real in torch.randn(3, 6, 3):
    fake = torch.tanh(maker(torch.randn(6, 4)))
    judge_loss = judge(fake).mean() - judge(real).mean()  #~ cause
    judge_steps.zero_grad()
    judge_loss.backward()
    judge_steps.step()
    maker_loss = -judge(fake).mean()
    maker_steps.zero_grad()
    maker_loss.backward()
    maker_steps.step()
"""
            },
            says=("`fake`", "detach", "gan.py:12", "gan.py:16"),
            becomes="judge_loss = judge(fake.detach()).mean() - judge(real).mean()",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch

w = torch.ones(3, requires_grad=True)
y = w.exp().sum()
y.backward(retain_graph=True)
y.backward()
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch

w = torch.ones(3, requires_grad=True)
y = w.exp()
y += 1
y.sum().backward()
"""
            },
            belongs_to="autograd.inplace-saved",
        ),
    )


def _words(run: Reading, found: Reuse, name: str, earlier: str) -> tuple[str, str, tuple[str, ...]]:
    """The headline, the word at the cause, the notes."""
    made = found.meeting.op if found.meeting is not None else None
    came = f"{name} came out of `{made.name}` at {place(made.span)}" if made is not None else ""
    steps = listed([code(f"{op.qualname}.step") for op in found.steps])
    if found.kind == "kept":
        headline = fitting(
            f"{name} carries the graph of the step before into the next backward", f"{name} keeps the graph of the step before"
        )
        again = f"{earlier} freed the graph behind {name}; this step uses {name} again"
        return headline, "kept from step to step, not detached", (again, _state(found), came)
    if found.kind == "outside":
        once = "once in `__init__`" if found.cause.function.endswith("__init__") else "once, outside the loop"
        headline = fitting(f"{name} is computed {once}; the first backward freed its graph", f"{name} is computed {once}, not in each step")
        again = f"{earlier} freed it, and each later step of {code(found.loop.text) if found.loop else 'the loop'} needs it again"
        stale = f"{steps} changed the parameters since" if steps else "its parameters have changed since, so it is out of date as well"
        return headline, f"computed {once}", (again, stale)
    if found.kind == "undetached":
        again = (
            f"each round of {code(found.loop.text)} takes the same {name} again" if found.loop is not None and _made_before(found) else ""
        )
        headline = fitting(
            f"{name} goes into the first loss with its graph, which that backward frees", f"{name} is not detached in the first loss"
        )
        notes = (f"{earlier} ran on through {name} and freed its graph", came, again, f"{steps} did not train what made {name}")
        return headline, f"{name} is not detached here", notes
    freed = "frees the graph (no `retain_graph`)"
    if found.kind == "same":
        headline = fitting(f"backward runs twice through the graph of {name}", "backward runs twice through one graph")
        return headline, freed, (f"{earlier} was the first through it, the one at {place(run.raised)} the second",)
    headline = fitting(
        f"two backward runs share {name}, and the first freed its graph", "two backward runs share a graph, and the first freed it"
    )
    both = f"{earlier} and the one at {place(run.raised)} both go through {name}, computed once in their shared forward pass"
    return headline, freed, (both, came, f"{steps} changed parameters between them" if steps else "")


def _state(found: Reuse) -> str:
    made, tensor = (found.meeting.op, found.meeting.tensor) if found.meeting is not None else (None, None)
    recurrent = made is not None and made.name.startswith(("rnn", "lstm", "gru"))
    kind = "a hidden state" if recurrent else "a running sum" if tensor is not None and tensor.rank == 0 else "a state"
    rest = " (truncated backpropagation through time)" if recurrent else ""
    return f"it is {kind} kept across steps without `detach()`, so it holds the graph of the step before{rest}"


def _made_before(found: Reuse) -> bool:
    made = found.meeting.op.span if found.meeting is not None and found.meeting.op is not None else None
    return found.loop is None or made is None or made.file != found.loop.statement.file or made.line not in found.loop.statement.lines


def _fixes(run: Reading, found: Reuse, name: str) -> list[Fix]:
    keep = "keep the graph in the first backward: `retain_graph=True`"
    if found.kind == "kept":
        changes = "the gradient stops at the step's border, and memory no longer grows"
        return [Fix(f"detach {name} from the step that is over", detached(run, found), "safe", changes=changes)]
    if found.kind == "outside":
        where = "in `forward`" if found.cause.function.endswith("__init__") else "inside the loop"
        return [
            Fix(f"compute {name} {where}, anew in each step", moved(run, found), changes="the parameters get the gradient of each step")
        ]
    if found.kind == "undetached":
        made = edits.append_method(run.sources, found.use, ".detach()") if found.use is not None else ()
        return [Fix(f"detach {name} where only the other network is trained", made, "safe")]
    call = found.before.span
    kept = edits.set_keyword(run.sources, call, "retain_graph", "True") if call is not None else ()
    if found.steps and found.kind == "losses":
        again = Fix(f"compute {name} again after the optimizer step, before the second loss", changes="one more forward pass")
        return [again, Fix(keep, kept, hides="the second gradient then belongs to parameters from before the step")]
    summed = Fix(f"add both losses and call `backward()` once, instead of at {place(call)} and {place(run.raised)}")
    return [Fix(keep, kept, "safe", changes="memory of the graph is held until the second backward"), summed]
