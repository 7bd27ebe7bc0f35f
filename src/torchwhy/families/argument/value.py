"""An argument has a value that the function does not take.

Erroneous code (TW1202):

```python
{example}
```

Why: a probability lies between 0 and 1, a step is not 0, a `reduction` is one of a few words, a `dim` counts from `-rank` to `rank - 1`, a
learning rate is not negative, a kernel fits into its input. The value was decided somewhere: in a config, a default, a computation.

Fix: mend it where it was decided. What the call takes stands in the signature and in torch's message; where the message doesn't say which
argument it means, the call was made again on copies with one argument changed at a time, and the note says what worked.

Messages: `dropout probability has to be between 0 and 1, but got 1.5`; `Invalid learning rate: -1`; `x is not a valid value for reduction`;
`stride should not be zero`.

Not to be confused with: `argument.signature` (the wrong type, number or name of arguments), `argument.tensor` (a tensor's shape or dtype).
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence
from ...reason.reading import reading
from ...reason.refusals import refusal


class ArgumentValue(Family):
    code = "TW1202"
    title = "an argument has a value that the function does not take"
    triggers = (Trigger(),)
    needs = ("tried",)
    rank = -10

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        return refusal(reading(evidence), self, "value")

    examples = (
        Example(
            {
                "denoise.py": """\
import torch
import torch.nn.functional as F

DROP = 15 / 10  #~ cause


def noisy(x):
    return F.dropout(x, DROP)


print(noisy(torch.ones(4, 3)).shape)
"""
            },
            says=("`p` of `dropout`", "1.5", "between 0 and 1"),
        ),
        Example(
            {
                "blocks.py": """\
import torch

settings = {"every": 0}  #~ cause
signal = torch.arange(12.0)
print(signal.unfold(0, 4, settings["every"]))
"""
            },
            says=("`step`", "unfold", "0"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\n\nprint(torch.nn.functional.dropout(torch.ones(3), 0.5).shape)\n"}),
        NearMiss({"own.py": "raise ValueError('p has to be between 0 and 1, but got 1.5')\n"}),
        NearMiss({"add.py": "import torch\n\nprint(torch.ones(3) + torch.ones(4))\n"}, belongs_to="shape.broadcast"),
    )
