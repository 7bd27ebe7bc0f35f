"""A function of torch is called with arguments of other types, names or number than it takes.

Erroneous code (TW1201):

```python
{example}
```

Why: functions written in C++ take the types that they declare and nothing else: no string for a number, no float for a size, no NumPy array for a
tensor. There may be several overloads; the message then lists them all, and marks what fits in none. A name or a surplus argument that no
overload knows is refused too.

Fix: pass what the signature asks for, in the line where the value was decided: a number that was read as text, a size that a division made a
float (`//`), an array that is not yet a tensor (`torch.from_numpy`).

Messages: `add(): argument 'alpha' must be Number, not NoneType`; `stft() received an invalid combination of arguments`; `linear() got an
unexpected keyword argument 'foo'`; `missing 1 required positional argument`; `takes 2 positional arguments but 3 were given`.

Not to be confused with: `module.forward-args` and `module.init` (modules of your own), `argument.value` (the right type, a value that is not taken).
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence
from ...reason.reading import reading
from ...reason.refusals import refusal


class ArgumentSignature(Family):
    code = "TW1201"
    title = "a function of torch gets arguments that its signature does not have"
    triggers = (Trigger(),)
    needs = ("tried",)
    rank = -10

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        return refusal(reading(evidence), self, "signature")

    examples = (
        Example(
            {
                "mix.py": """\
import torch

options = {"alpha": "0.5"}  #~ cause


def blend(a, b, alpha):
    return torch.add(a, b, alpha=alpha)


print(blend(torch.ones(3), torch.ones(3), options["alpha"]))
"""
            },
            says=("`alpha`", "`add`", "str", "0.5"),
        ),
        Example(
            {
                "crop.py": """\
import torch

length = 10
half = length / 2  #~ cause
window = torch.hann_window(8)
print(torch.narrow(window, 0, 1, half))
"""
            },
            says=("`length`", "`narrow`", "float", "5.0"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\n\nprint(torch.add(torch.ones(2), torch.ones(2), alpha=2))\n"}),
        NearMiss({"own.py": "def blend(a, b):\n    return a + b\n\n\nblend(1, 2, alpha=3)\n"}),
    )
