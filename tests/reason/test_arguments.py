"""Which argument of a refused call is the wrong one."""

from __future__ import annotations

from typing import Any

from runs import plain, tensor

from torchwhy.model import Call, Change, Parameter
from torchwhy.reason.arguments import Wrong, wrong_argument


def call(name: str, kind: Any = "function", **given: object) -> Call:
    return Call(name, kind, tuple(Parameter(key, plain(value), True) for key, value in given.items()))


def blamed(known: Call, message: str, *tried: Change) -> tuple[str, str] | None:
    wrong: Wrong | None = wrong_argument(known, message, tried)
    return (wrong.parameter.name, wrong.what) if wrong is not None else None


ADD = call("add", input=tensor(3), other=tensor(3), alpha="a")


def test_the_parser_names_it() -> None:
    assert blamed(ADD, "add(): argument 'alpha' must be Number, not str") == ("alpha", "type")
    assert blamed(ADD, "add() got an unexpected keyword argument 'alpha'") == ("alpha", "unexpected")
    assert blamed(call("mm", input=tensor(3)), "mm() missing 1 required positional arguments: 'mat2'") == ("mat2", "missing")


def test_the_parser_marks_it() -> None:
    text = (
        "f() received an invalid combination of arguments - got (Tensor, float, int), but expected one of:\n"
        " * (Tensor input, tuple of ints dim)\n      didn't match because some of the arguments have invalid types: (Tensor, !float!, !int!)\n"
        " * (Tensor input, int dim, int n)\n      didn't match because some of the arguments have invalid types: (Tensor, !float!, int)\n"
    )
    assert blamed(call("f", input=tensor(3), dim=0.5, n=1), text) == ("dim", "type")
    assert blamed(call("f", "method", input=tensor(3), dim=0.5), text.replace("(Tensor, !float!, int)", "(!float!)")) == ("dim", "type")


def test_the_change_that_works_decides() -> None:
    mm = call("mm", input=tensor(2, 3), mat2=tensor(3))
    assert blamed(mm, "it must be a matrix", Change("mat2", "rank", tensor(3, 1))) == ("mat2", "rank")


def test_torchs_words_decide_between_two_that_work() -> None:
    kernel = Change("kernel_size", "value", plain(2))
    stride = Change("stride", "value", plain(2))
    pool = call("avg_pool2d", input=tensor(1, 3, 4, 4), kernel_size=9, stride=7)
    assert blamed(pool, "stride should not be 7", kernel, stride) == ("stride", "value")
    assert blamed(pool, "kernel size should be smaller", kernel, stride) == ("kernel_size", "value")


def test_a_conversion_that_works_is_not_told_of_wrong_values() -> None:
    probabilities = call("Categorical", "constructor", probs=tensor(2))
    works = (Change("probs", "dtype", tensor(2, dtype="bool")), Change("probs", "values", tensor(2)))
    assert blamed(probabilities, "found invalid values: tensor([-1., 2.])", *works) == ("probs", "values")
    assert blamed(probabilities, "not implemented for 'Float'", *works) == ("probs", "dtype")


def test_its_value_in_the_message_tells() -> None:
    assert blamed(call("f", input=tensor(3), first=4, second=17), "17 is too many") == ("second", "said")


def test_nothing_is_said_where_nothing_tells() -> None:
    assert blamed(call("f", one=tensor(3), two=tensor(4)), "it failed") is None
