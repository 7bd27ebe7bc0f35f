"""What `backward` or `autograd.grad` was asked for, read off torch's own frames when it refused before anything ran."""

from __future__ import annotations

from ..model import Failure, Frame, OpRecord, TensorFacts, Value, tensors_in
from .history import history_of
from .reading import Reading

_AUTOGRAD = "torch/autograd/__init__.py"


def autograd_frame(failure: Failure) -> Frame | None:
    """The innermost frame of `torch.autograd.backward` or `torch.autograd.grad`."""
    for frame in reversed(failure.frames):
        if frame.span.file.replace("\\", "/").endswith(_AUTOGRAD) and frame.span.function in ("backward", "grad"):
            return frame
    return None


def _first(frame: Frame, *names: str) -> Value | None:
    return next((value for name in names if (value := frame.local(name)) is not None and tensors_in(value)), None)


def roots(failure: Failure) -> tuple[TensorFacts, ...]:
    """The tensors that the gradients are taken of."""
    frame = autograd_frame(failure)
    value = _first(frame, "t_tensors", "t_outputs", "tensors", "outputs") if frame is not None else None
    return tensors_in(value) if value is not None else ()


def wanted(failure: Failure) -> tuple[TensorFacts, ...]:
    """The tensors that `autograd.grad` is asked to give gradients for (the first 64)."""
    frame = autograd_frame(failure)
    value = _first(frame, "t_inputs", "inputs") if frame is not None else None
    return tensors_in(value) if value is not None else ()


def gradients(failure: Failure) -> tuple[TensorFacts, ...]:
    """The gradients that were passed in for the roots (`gradient=`, `grad_outputs=`)."""
    frame = autograd_frame(failure)
    value = _first(frame, "grad_tensors_", "grad_outputs_", "grad_tensors", "grad_outputs") if frame is not None else None
    return tensors_in(value) if value is not None else ()


def unbroken(run: Reading, tensor: TensorFacts, limit: int = 200) -> tuple[OpRecord, ...]:
    """The ops that made the tensor, latest first, as long as the number of elements was still its own."""
    found: list[OpRecord] = []
    history, before, at = history_of(run.evidence), run.before, tensor
    while len(found) < limit:
        op = history.producer(at, before)
        if op is None:
            break
        found.append(op)
        carriers = [t for t in op.inputs if t.id not in history.owner_of and t.requires_grad and t.numel == tensor.numel and t.id != at.id]
        if not carriers:
            break
        at, before = carriers[0], op.index
    return tuple(found)
