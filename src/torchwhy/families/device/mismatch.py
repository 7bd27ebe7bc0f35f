"""Tensors on different devices meet in one op.

Erroneous code (TW0301):

```python
{example}
```

Why: an op works on one device. The data was not moved, or one part of the model was not: a tensor made in `forward` without `device=`, a plain attribute that is no
buffer, a layer in a Python list, an optimizer state or a checkpoint that was loaded before the move. `x.to(device)` of a tensor gives a new one and leaves x.

Fix: move the side that stayed behind, where it is made: `device=x.device`, `register_buffer`, `nn.ModuleList`, `batch = batch.to(device)`.

Messages: `Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!`; `Input type (torch.FloatTensor) and weight type
(torch.cuda.FloatTensor) should be the same`; `Expected object of device type cuda but got device type cpu`; `indices should be either on cpu or on the same device`.

Not to be confused with: `device.meta`, `device.no-cuda`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, TensorFacts
from ...reason import edits
from ...reason.blame import Side, blame, side
from ...reason.convert import operand_of
from ...reason.devices import runs_on_meta
from ...reason.printed import written_call
from ...reason.reading import Reading, named, reading
from ...reason.wording import code, listed, place, tensor_text


class Mismatch(Family):
    code = "TW0301"
    title = "tensors on different devices meet"
    triggers = (
        Trigger(
            r"tensors? to be on the same device|found at least two devices,? (?P<one>[\w:]+) and (?P<two>[\w:]+)|different from other tensors on"
        ),
        Trigger(
            r"Input type \((?:torch\.)?(?P<one>[\w.]*)Tensor\) and (?:weight|bias) type \((?:torch\.)?(?P<two>[\w.]*)Tensor\) should be the same"
        ),
        Trigger(r"Expected object of (?:device type|backend) (?P<one>\w+) but got (?:device type|backend) (?P<two>\w+)"),
        Trigger(
            r"indices should be either on|is not on the expected device|(?:should|must|expected to) be (?:on|in) the same device|to be on the same device"
        ),
        Trigger(r"Expected a '(?P<one>\w+)' device type for generator but found '(?P<two>\w+)'"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        kinds: dict[str, tuple[str, TensorFacts]] = {}
        for name, tensor in run.tensors:
            kinds.setdefault(tensor.device, (name, tensor))
        if "meta" in kinds and not runs_on_meta(evidence):
            return None
        if len(kinds) < 2:
            named_devices = [w.lower() for w in match.groupdict().values() if w]
            if named_devices and not any(word in run.failure.message for word in ("cuda", "cpu", "device", "mps", "xpu")):
                return None  # "Input type (double) and bias type (float)" speaks of dtypes
            return self._from_message(run, named_devices)
        chosen = blame(evidence, run.op, [side(evidence, n, t, "device", run.before) for n, t in kinds.values()], "device")
        wrong, right = chosen.side, chosen.others[0]
        if (
            right.tensor.device == "cpu" and wrong.tensor.device != "cpu"
        ):  # what moved is where the program wants to be; what stayed is to blame
            wrong, right = right, wrong
        return self._answer(run, wrong, right)

    def _from_message(self, run: Reading, words: list[str]) -> Diagnosis:
        """The devices that the message names, and the call of the traceback nearest to torch."""
        devices = list(dict.fromkeys(re.findall(r"\b(?:cuda|mps|xpu|hip)(?::\d+)?|\bcpu\b", run.failure.message))) or words
        inner = next((f.code for f in reversed(run.failure.frames) if f.origin != "torch" and f.code), "")
        call, given = written_call(inner)
        where = code(run.op.name) if run.op is not None else code(call) if call else "one call"
        notes = [run.failure.message.splitlines()[0]]
        if given:
            notes.append(f"{where} is given {listed([code(g) for g in given[:4]])}: one of them, or a parameter inside, was not moved")
        if len([d for d in devices if d.startswith("cuda:")]) > 1:
            notes.append(
                "the model is split over several GPUs (`device_map`, or modules placed by hand): each tensor must be moved to the device of what it meets"
            )
        fix = Fix(
            "move one side to the other's device: `x = x.to(other.device)`; make new tensors with `device=x.device`", (), "display-only"
        )
        return run.diagnosis(self, f"{listed(devices[:2]) or 'two devices'} meet in {where}", None, notes=notes, fixes=[fix])

    def _answer(self, run: Reading, wrong: Side, right: Side) -> Diagnosis:
        owner = run.history.owner_of.get(wrong.tensor.id)
        cause = run.cause(wrong.decision)
        notes = [
            f"{code(wrong.name or 'one operand')} is {tensor_text(wrong.tensor)} on {wrong.tensor.device}, {code(right.name or 'the other')} is on {right.tensor.device}"
        ]
        if owner is not None:
            notes.append(
                f"{code(wrong.name)} belongs to {named(run, owner[0])}, built at {place(owner[0].built[0])}"
                if owner[0].built
                else f"{code(wrong.name)} belongs to {named(run, owner[0])}"
            )
        moved = right.decision.span
        if moved is not None:
            notes.append(f"{code(right.name or 'the other')} has been on {right.tensor.device} since {place(moved)}")
        return run.diagnosis(
            self,
            f"{code(wrong.name or 'one tensor')} is on {wrong.tensor.device} but {code(right.name or 'the other')} is on {right.tensor.device}",
            cause,
            f"{wrong.tensor.device} was decided here",
            trail=run.trail(wrong.tensor, "device"),
            notes=notes,
            fixes=self._fixes(run, wrong, right),
            confidence=Confidence.CERTAIN if wrong.decision.op is not None or owner is not None else Confidence.LIKELY,
        )

    def _fixes(self, run: Reading, wrong: Side, right: Side) -> list[Fix]:
        fixes = self._register(run, wrong)
        op = wrong.decision.op
        there = f"{right.name}.device" if right.name.replace(".", "").replace("_", "").isalnum() else f'"{right.tensor.device}"'
        if (
            wrong.decision.how == "created"
            and op is not None
            and op.span is not None
            and op.span.function == run.raised.function
            and op.name != "from_numpy"
        ):
            fixes.append(
                Fix(f"make {code(wrong.name or 'it')} on the same device", edits.set_keyword(run.sources, op.span, "device", there), "safe")
            )
        operand = operand_of(run, wrong.tensor)
        if operand is not None and operand.span is not None:
            fixes.append(
                Fix(
                    f"move {code(operand.expression)} to the other's device",
                    edits.append_method(run.sources, operand.span, f".to({there})"),
                    "safe",
                )
            )
        return fixes or [Fix(f"move {code(wrong.name or 'the tensor')} to {right.tensor.device}", (), "display-only")]

    def _register(self, run: Reading, wrong: Side) -> list[Fix]:
        """`self.scale = torch.ones(4)` in a module's constructor: a buffer moves with the module, a plain attribute does not."""
        op = wrong.decision.op
        if op is None or op.span is None or not op.span.function.endswith("__init__"):
            return []
        statement = run.sources.statement_at(op.span.file, op.span.line)
        text = run.sources.segment(run.sources.span_of(op.span.file, statement)) if statement is not None else ""
        found = re.match(r"self\.(?P<name>\w+)\s*=\s*(?P<value>.+)$", text, re.DOTALL)
        if found is None or statement is None:
            return []
        edit = edits.replace_text(
            run.sources.span_of(op.span.file, statement), f'self.register_buffer("{found["name"]}", {found["value"]})'
        )
        return [Fix(f"register {code(found['name'])} as a buffer, which moves with the module", edit, "safe")]

    examples = (
        Example(
            {
                "scale.py": """\
import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.project = nn.Linear(3, width)
        self.gain = torch.ones(width)  #~ cause

    def forward(self, x):
        return self.project(x) * self.gain


device = torch.device("meta")  # stands for a GPU
model = Scaled(4).to(device)
print(model(torch.ones(2, 3, device=device)).shape)
"""
            },
            says=("cpu", "meta", "gain", "register"),
            becomes='        self.register_buffer("gain", torch.ones(width))',
        ),
        Example(
            {
                "mask.py": """import torch
from torch import nn


def causal(length):
    return torch.full((length, length), -1e9).triu(1)  #~ cause


class Attend(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(8, 8)

    def forward(self, x):
        scores = self.q(x) @ x.transpose(1, 2)
        return (scores + causal(x.shape[1])).softmax(-1) @ x


net = Attend().to("meta")
print(net(torch.ones(2, 5, 8, device="meta")).shape)
"""
            },
            says=("cpu", "meta", "causal"),
        ),
    )
    near_misses = (
        NearMiss({"double.py": "import torch\ntorch.nn.Conv2d(1, 1, 1)(torch.ones(1, 1, 2, 2).double())\n"}, belongs_to="dtype.mismatch"),
        NearMiss({"meta.py": "import torch\ntorch.ones(2, device='meta') + torch.ones(2)\n"}, belongs_to="device.meta"),
    )
