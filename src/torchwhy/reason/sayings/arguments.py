"""Messages of torch's argument checks. They come last: what a family has a word for is not told by its argument alone."""

from __future__ import annotations

from .saying import Saying

SAYINGS = (
    Saying(
        "argument.signature",
        r"\b(?P<op>\w+)\(\) received an invalid combination of arguments - got (?P<given>\([^\n]{0,600}?\)), but expected",
        ("`{op}` takes no such arguments: {given}", "`{op}` takes no such arguments"),
        ("it was given {given}; the error lists what it takes, and which of its parameters have no default",),
        "pass what one of the listed signatures asks for, under its parameter names",
    ),
    Saying(
        "argument.signature",
        r"\b(?P<op>\w+)\(\): argument '(?P<name>\w+)'(?: \(position \d+\))? must be (?P<wants>[\w. ]+?), not (?P<gets>\w+)",
        ("`{name}` of `{op}` is of type {gets}, it takes {wants}",),
        ("the value is not shown: print where `{name}` was made",),
        "pass {wants} as `{name}`",
    ),
    Saying(
        "argument.value",
        r"dropout probability has to be between 0 and 1, but got (?P<value>\S+)",
        ("`p` of dropout is {value}, it lies between 0 and 1",),
        ("it is the share of values that are set to zero",),
        "pass a probability from 0 to 1",
    ),
    Saying(
        "argument.value",
        r"\b(?P<op>\w+) expects (?P<name>\w+) (?P<wants>(?:>=?|<=?|to be in) ?[^,\n]{1,60}?), but (?:found|got) (?P=name)=(?P<value>\S+)",
        ("`{name}` of `{op}` is {value}, it takes {wants}",),
        ("the value is outside of what the op takes",),
        "pass a `{name}` {wants}",
    ),
    Saying(
        "argument.tensor",
        r"(?P<op>linalg\.\w+|torch\.linalg\.\w+): The input tensor (?P<name>\w+) must have at least (?P<wants>\d) dimensions",
        ("`{op}` takes at least {wants} dimensions in `{name}`",),
        ("matrices stand in the last two dimensions, batches before them",),
        "give it a matrix, or a batch of them",
    ),
    Saying(
        "argument.tensor",
        r"(?P<op>linalg\.\w+): (?P<name>\w+) must be batches of square matrices, but they are (?P<rows>\d+) by (?P<columns>\d+)",
        ("`{op}` takes square matrices, `{name}` is {rows} by {columns}",),
        ("the last two dimensions must be equal",),
        "give it square matrices",
    ),
)
