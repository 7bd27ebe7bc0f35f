"""A file saved on a GPU is loaded where that GPU is not there.

Erroneous code (TW0303):

```python
{example}
```

Why: `torch.save` writes the device of every tensor, and `torch.load` puts each one back there unless it is told otherwise. Moving the model to the CPU
afterwards is too late.

Fix: `torch.load(path, map_location="cpu")`, or `map_location=device`, then move the model.

Messages: `Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False`; `Attempting to deserialize object on CUDA device 1 but
torch.cuda.device_count() is 1`.

Not to be confused with: `module.checkpoint` (the file's contents), `device.no-cuda`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Span
from ...reason import edits
from ...reason.reading import Reading, reading
from ...reason.wording import code, place


class Deserialize(Family):
    code = "TW0303"
    title = "a file saved on a GPU is loaded without that GPU"
    triggers = (
        Trigger(
            r"Attempting to deserialize object on (?:a )?(?P<device>[A-Za-z]+) device ?(?P<index>\d+)? ?but (?P<why>[^.]*\.?[\w.()]+(?: is \w+)?)"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        device = match["device"].lower() + (f":{match['index']}" if match["index"] else "")
        call = self._load(run)
        given = run.sources.arguments(call)
        path = next((e.text for e in given if e.keyword in (None, "f")), "the file")
        notes = [
            f"{code(path)} holds tensors that were saved on {device}; `torch.load` restores them there, and this machine has no such device",
            "`map_location` tells `torch.load` where to put them: `cpu` works everywhere",
        ]
        asked = next((e for e in given if e.keyword == "map_location"), None)
        if asked is not None:
            notes.append(f"map_location is {code(asked.text)}")
        edit = edits.set_keyword(run.sources, call, "map_location", '"cpu"')
        return run.diagnosis(
            self,
            f"{code(path)} was saved on {device} and is loaded without `map_location`"
            if asked is None
            else f"map_location {code(asked.text)} asks for {device}, which is not here",
            call,
            f"loads at {place(call)}" if call != run.raised else "no map_location in this call",
            notes=notes,
            fixes=[Fix("load onto the CPU", edit, "safe")] if edit else [Fix('pass map_location="cpu" to the load', (), "display-only")],
            confidence=Confidence.CERTAIN,
        )

    def _load(self, run: Reading) -> Span:
        """The program's own `load` call: the innermost line of the traceback that makes one."""
        for span in run.calls:
            call = run.sources.call_at(span)
            if call is not None and run.sources.segment(span).split("(")[0].endswith("load"):
                return span
        return run.raised

    examples = (
        Example(
            {
                "predict.py": """\
import io
from unittest import mock

import torch
from torch import nn


def saved_elsewhere():
    file = io.BytesIO()
    with mock.patch.object(torch.serialization, "location_tag", lambda storage: "cuda:0"):
        torch.save(nn.Linear(2, 2).state_dict(), file)
    file.seek(0)
    return file


def restore(net, weights):
    net.load_state_dict(torch.load(weights))  #~ cause
    return net


print(restore(nn.Linear(2, 2), saved_elsewhere()).weight.shape)
"""
            },
            says=("map_location", "cuda", "cpu", "weights"),
            becomes='    net.load_state_dict(torch.load(weights, map_location="cpu"))',
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": "import io, torch\nf = io.BytesIO()\ntorch.save(torch.ones(2), f)\nf.seek(0)\nprint(torch.load(f, map_location='cpu'))\n"
            }
        ),
    )
