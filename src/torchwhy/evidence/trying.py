"""Finding out which argument is wrong by trying: the failing call is made again on copies, in a closed-off child, with one argument changed.

The program is not touched: the child has a copy of its memory, its random numbers too. Only small calls are tried, for a short time.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from ..model import Call, Change, Parameter, TensorFacts
from ..record.facts import Facts, value_facts
from ..record.kinds import is_a, is_one_of, message_of
from ..record.recorder import Recorder
from ..replay.child import can_fork, in_child
from .changes import changes, stand_ins
from .refused import SETTING, UNKNOWN, Refused
from .signature import NO_DEFAULT, Slot, signature_text

SECONDS = 1.5
_DEADLINE = 3.0
_MOST_NUMBERS = 4_000_000
_MEMORY = 1 << 30
_WORKING = 3
"""Enough changes of one kind that work for one argument."""
_NEVER = ("backward", "step", "zero_grad", "load_state_dict", "state_dict", "grad", "load", "save", "compile")


def call_facts(refused: Refused, recorder: Recorder) -> Call:
    """The call as plain data; its tensors under the ids of the recording."""
    layer = refused.target if refused.kind == "layer" else None
    parameters = tuple(_parameter(refused, slot, recorder) for slot in refused.slots)
    module = recorder.module_id(layer) if is_a(layer, torch.nn.Module) else None
    method = refused.kind == "function" and getattr(torch.Tensor, getattr(refused.target, "__name__", ""), None) is refused.target
    signature = signature_text(type(layer).forward if is_a(layer, torch.nn.Module) else refused.target)
    return Call(refused.name, "method" if method else refused.kind, parameters, signature, module)


def _parameter(refused: Refused, slot: Slot, recorder: Recorder) -> Parameter:
    value = _given(refused, slot) if slot.place is not None else UNKNOWN
    described = recorder.describe(value) if value is not UNKNOWN else None
    if described is None and _is_setting(slot):
        described = recorder.modules.passed(refused.target).get(slot.name)  # type: ignore[arg-type]
    default = None if slot.default is NO_DEFAULT else getattr(recorder.describe(slot.default), "text", "")
    return Parameter(
        slot.name, described, slot.place is not None, slot.takes, default, slot.also, slot.by_keyword, str(slot.place).startswith(SETTING)
    )


def _given(refused: Refused, slot: Slot) -> Any:
    if _is_setting(slot):
        return refused.settings[slot.name]
    return refused.args[slot.place] if isinstance(slot.place, int) else refused.kwargs.get(str(slot.place), UNKNOWN)


def _is_setting(slot: Slot) -> bool:
    return str(slot.place).startswith(SETTING)


def tried(refused: Refused, error: BaseException) -> tuple[Change, ...] | None:
    """What single changes do; None where it can't be tried, or the same call does not fail again in the same way."""
    numbers = sum(t.numel() for t in _tensors((*refused.args, *refused.kwargs.values())))
    if not refused.can_be_made_again or refused.name in _NEVER or numbers > _MOST_NUMBERS or not can_fork():
        return None
    message = message_of(error)
    return in_child(lambda: _tried(refused, type(error), message), _DEADLINE)


def _tried(refused: Refused, kind: type, message: str) -> tuple[Change, ...] | None:
    from ..replay.confine import limit_memory  # a child was forked, so this is a system that has limits

    limit_memory(_MEMORY)
    torch.manual_seed(0)
    adding = torch.optim.Optimizer.add_param_group
    torch.optim.Optimizer.add_param_group = inspect.unwrap(adding)  # type: ignore[method-assign]  # its wrapper would import the compiler
    end = time.monotonic() + SECONDS
    copies = _fresh(refused)
    same = _outcome(copies, {})
    if same is None or type(same) is not kind or pattern(str(same)) != pattern(message):
        return None
    found: list[Change] = []
    facts = Facts()
    rounds = [_of_slot(refused, slot, message) for slot in refused.slots if slot.name != "self"]
    counts: dict[tuple[str, str, str], int] = {}
    while rounds and time.monotonic() < end:
        for one in list(rounds):  # in turn, so that each argument has its small changes tried before the time is over
            for slot, what, place, value in (next(one, (None, "", None, None)) for _ in range(8)):
                if slot is None:
                    rounds.remove(one) if one in rounds else None
                    break
                if counts.get((slot.name, what, "works"), 0) >= _WORKING:
                    continue
                change = _change(refused, slot, what, place, value, kind, message, facts)
                if change is not None:
                    key = (slot.name, what, change.outcome)
                    counts[key] = counts.get(key, 0) + 1
                    found += [change] if counts[key] <= _WORKING else []
    return tuple(found)


def _change(refused: Refused, slot: Slot, what: str, place: Any, value: Any, kind: type, message: str, facts: Facts) -> Change | None:
    if what == "left out":
        error = _outcome(refused, {}, place)
    else:
        error = _outcome(_fresh(refused), {place: value})
    if error is None:
        instead = facts.describe(value) if what != "left out" else None
        if what == "values" and isinstance(instead, TensorFacts):
            instead = replace(instead, values=value_facts(value))
        return Change(slot.name, what, instead)  # type: ignore[arg-type]
    says = str(error)
    if type(error) is kind and pattern(says) == pattern(message):
        return None
    return Change(slot.name, what, facts.describe(value), "other", says.splitlines()[0][:160] if says else "")  # type: ignore[arg-type]


def _of_slot(refused: Refused, slot: Slot, message: str) -> Iterator[tuple[Slot | None, str, Any, Any]]:
    """Every change for one parameter: where the call gives it, else where a default of None stands for nothing."""
    if slot.place is None:
        others = _tensors((*refused.args, *refused.kwargs.values()))
        if slot.default is None and slot.name not in ("out", "dtype", "device", "layout"):
            yield from ((slot, what, slot.name, value) for what, value in changes(None, others, message))
        return
    given = _given(refused, slot)
    if _is_setting(slot) and any(value is UNKNOWN for value in refused.settings.values()):
        return  # the layer can't be built anew
    if slot.default is not NO_DEFAULT and isinstance(slot.place, str) or _is_setting(slot):
        yield slot, "left out", slot.place, None
    others = [t for other in refused.slots if other.place not in (None, slot.place) for t in _tensors((_given(refused, other),))]
    if slot.default is not NO_DEFAULT and slot.default is not None and slot.default != given:
        yield slot, "value", slot.place, slot.default
    if "Tensor" in slot.takes and not isinstance(given, torch.Tensor) and given is not None:
        yield from ((slot, "type", slot.place, tensor) for tensor in stand_ins(others))
    for what, value in changes(given, others, message):
        yield slot, what, slot.place, value


def _fresh(refused: Refused) -> Refused:
    """The call with copies of its tensors, so that one that works leaves nothing behind for the next."""
    return Refused(
        refused.name,
        refused.kind,
        refused.target,
        tuple(_copied(value) for value in refused.args),
        {name: _copied(value) for name, value in refused.kwargs.items()},
        refused.slots,
        refused.settings,
    )


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and type(value) is torch.Tensor and value.layout is torch.strided and value.grad_fn is None:
        if value._is_view() or not value.is_contiguous():
            return value  # its strides and its base may be what is wrong
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) in (list, tuple):
        return type(value)(_copied(item) for item in value)
    return value


def _outcome(call: Refused, changed: dict[Any, Any], without: Any = None) -> BaseException | None:
    try:
        call.again(changed, without)
    except Exception as error:
        return error
    return None


def pattern(message: str) -> str:
    """The message without its numbers."""
    return re.sub(r"0x[\da-f]+|-?\d+(?:\.\d+)?(?:e-?\d+)?", "#", message.strip())[:400]


def _tensors(values: Any, depth: int = 2) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for value in values:
        if is_a(value, torch.Tensor):
            found.append(value)
        elif depth and is_one_of(type(value), (list, tuple)):
            found += _tensors(value[:16], depth - 1)
    return found
