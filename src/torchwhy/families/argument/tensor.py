"""A tensor that is passed to a function has a shape, dtype, layout or values that it does not take.

Erroneous code (TW1203):

```python
{example}
```

Why: each op expects of each tensor a number of dimensions, sizes that go with the others', a dtype, a device, a layout, and some expect values in
a range. This call got one that does not fit.

Fix: make the tensor as the op takes it, where it was made. The note says which change made the same call work on copies.

Messages: those of several hundred ops; `pixel_unshuffle expects input to have at least 3 dimensions`, `mat2 must be a matrix`, `cov(): fweights cannot be
negative`.

Not to be confused with: the shape and dtype families, which speak first where one knows the op.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence
from ...reason.reading import reading
from ...reason.refusals import refusal


class ArgumentTensor(Family):
    code = "TW1203"
    title = "a tensor is not what the function takes"
    triggers = (Trigger(),)
    needs = ("tried",)
    rank = -10

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        return refusal(reading(evidence), self, "tensor")

    examples = (
        Example(
            {
                "weights.py": """\
import torch

samples = torch.rand(5)
counts = torch.tensor([3, -1, 2, 4, 1])  #~ cause
print(torch.cov(samples, fweights=counts))
"""
            },
            says=("`counts`", "`fweights`", "`cov`", "negative"),
        ),
        Example(
            {
                "tiles.py": """\
import torch
import torch.nn.functional as F

pixels = torch.arange(64.0)  #~ cause
print(F.pixel_unshuffle(pixels, 2).shape)
"""
            },
            says=("`pixels`", "`input`", "pixel_unshuffle", "1 dimension"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\n\nprint(torch.cov(torch.rand(5), fweights=torch.tensor([1, 2, 3, 4, 1])))\n"}),
        NearMiss({"mm.py": "import torch\n\nprint(torch.ones(2, 3) @ torch.ones(4, 2))\n"}, belongs_to="shape.matmul"),
    )
