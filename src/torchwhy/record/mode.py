"""The torch function mode that sees each op, and the tricks that keep it unseen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, handle_torch_function

from .own import HIDDEN
from .tape import Tape

Call = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]

_DISPATCH = handle_torch_function.__code__
_BACKWARD = torch.Tensor.backward


def _getters(names: str) -> set[Any]:
    found: list[Any] = [getattr(torch.Tensor, name, None) for name in names.split()]
    return {descriptor.__get__ for descriptor in found if hasattr(descriptor, "__get__") and not isinstance(descriptor, FunctionType)}


def _methods(names: str) -> set[Any]:
    return {getattr(torch.Tensor, name) for name in names.split() if hasattr(torch.Tensor, name)}


# Questions about a tensor: they make and change nothing and never warn.
_QUESTIONS: frozenset[Any] = frozenset(
    _getters(
        "shape dtype device ndim layout requires_grad is_leaf grad_fn _version is_cuda is_cpu is_meta is_sparse is_quantized "
        "is_mps is_xpu is_nested itemsize nbytes output_nr _backward_hooks retains_grad _base name"
    )
    | _methods(
        "size dim stride numel nelement ndimension is_contiguous element_size storage_offset data_ptr is_floating_point "
        "is_complex is_signed is_inference is_conj is_neg get_device untyped_storage __len__ __hash__ is_pinned is_shared "
        "_is_view register_hook register_post_accumulate_grad_hook __dir__ is_same_size __reduce_ex__"
    )
    # torch sets it while it holds the lock of a view's graph: nothing may be asked of that tensor then
    | {torch.Tensor._backward_hooks.__set__}
    | {torch.is_floating_point, torch.is_complex, torch.is_tensor, torch.numel, torch.is_grad_enabled, torch.get_default_dtype}
)
# Passed on unrecorded, but they may warn, so they are called in the user's name.
_PASSED: frozenset[Any] = frozenset(
    _getters("grad names")
    | {torch.Tensor.grad.__set__}
    | _methods("storage has_names __repr__ __format__ __str__ __deepcopy__ __setstate__")
)
_SILENT = [
    "_set_grad_enabled",
    *(f"_record_function_{end}" for end in ("enter", "enter_new", "exit", "with_args_enter")),
]
_packets: list[Any] = [getattr(torch.ops.profiler, name) for name in _SILENT if hasattr(torch.ops.profiler, name)]
_UNRECORDED: frozenset[Any] = frozenset(
    [getattr(torch._C, name) for name in _SILENT if hasattr(torch._C, name)]
    + _packets
    + [getattr(packet, overload) for packet in _packets for overload in packet.overloads()]
)

_call: CodeType = (lambda func, args, kwargs: func(*args, **kwargs)).__code__


class Recording(TorchFunctionMode):  # type: ignore[misc]
    """Notes each torch function that is called while it is on the stack."""

    def __init__(self, tape: Tape, fault: Callable[[str, BaseException], None]) -> None:
        self.tape = tape
        self.fault = fault
        self.idle = True
        self.limit = float("inf")
        """Events of the tape at which it falls idle by itself: a loop that gives the recorder no place to step aside."""
        self._calls: dict[tuple[int, int], tuple[CodeType, Call]] = {}

    def forget(self) -> None:
        """Lets go of the call sites seen so far."""
        self._calls.clear()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if kwargs is None:
            kwargs = {}
        if func in _QUESTIONS:
            try:
                return func(*args, **kwargs)
            except Exception as error:
                self._note_failed_question(func, sys._getframe(1), args, kwargs, error)
                raise
        try:
            frame = sys._getframe(1)
            if frame.f_code is _DISPATCH:
                frame = frame.f_back.f_back  # type: ignore[union-attr,assignment]
            call = self.call_as(frame)
            if self.idle or func in _PASSED or func in _UNRECORDED or func is _BACKWARD:
                event = None
            else:
                event, held = self.tape.begin(func, frame, args, kwargs)
        except Exception as fault:
            self.fault("before an op", fault)
            call, event = _plain_call, None
        finally:
            frame = None  # type: ignore[assignment]
        if event is None:
            try:
                return call(func, args, kwargs)
            except Exception as error:
                if func in _PASSED:
                    self._note_failed_question(func, sys._getframe(1), args, kwargs, error)
                raise
        try:
            result = call(func, args, kwargs)
        except BaseException as error:
            try:
                self.tape.failed(event, held, error)
            except Exception as fault:
                self.fault("after a failing op", fault)
            raise
        try:
            self.tape.end(event, held, result)
            if event.index >= self.limit:
                self.idle = True
            if event.outputs and getattr(func, "__name__", "") == "__get__" and func.__self__ is torch.Tensor.data:
                self.tape.aliases.add(event.outputs[0][0])
        except Exception as fault:
            self.fault("after an op", fault)
        return result

    def _note_failed_question(self, func: Any, frame: FrameType, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> None:
        try:
            if not self.idle:
                self.tape.failed(*self.tape.begin(func, frame, args, kwargs), error)
        except Exception as fault:
            self.fault("after a failing question", fault)

    def call_as(self, frame: FrameType) -> Call:
        """A function that calls another and looks, to `warnings`, like the given frame: same file, line and globals."""
        code = frame.f_code
        key = (id(code), frame.f_lasti)
        entry = self._calls.get(key)
        if entry is None:
            disguise = _call.replace(co_filename=code.co_filename, co_firstlineno=frame.f_lineno or 1, co_name="__torchwhy__")
            entry = self._calls[key] = (code, FunctionType(disguise, frame.f_globals))
        return entry[1]


def _plain_call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*args, **kwargs)


def hide(function: FunctionType) -> None:
    """Gives hook code a file name that `warnings.warn` steps over, so that a warning's `stacklevel` still counts the program's frames."""
    code = function.__code__
    function.__code__ = code.replace(co_filename=code.co_filename + HIDDEN)


hide(Recording.__torch_function__)  # type: ignore[arg-type]


def push_mode(mode: TorchFunctionMode) -> None:
    """Puts the mode below the program's own modes, so that theirs are entered and left as ever (torch keeps a DeviceContext lowest)."""
    if mode_is_on(mode):
        return
    above = [torch._C._pop_torch_function_stack() for _ in range(torch._C._len_torch_function_stack())]
    if above and type(above[-1]).__name__ == "DeviceContext":
        torch._C._push_on_torch_function_stack(above.pop())
    torch._C._push_on_torch_function_stack(mode)
    for other in reversed(above):
        torch._C._push_on_torch_function_stack(other)


def remove_mode(mode: TorchFunctionMode) -> bool:
    """Takes the mode off this thread's stack, wherever it is; says whether it was there."""
    if not mode_is_on(mode):
        return False
    stack = [torch._C._pop_torch_function_stack() for _ in range(torch._C._len_torch_function_stack())]
    for other in reversed(stack):
        if other is not mode:
            torch._C._push_on_torch_function_stack(other)
    return True


def mode_is_on(mode: TorchFunctionMode) -> bool:
    """Whether the mode is on this thread's stack."""
    return any(torch._C._get_function_stack_at(i) is mode for i in range(torch._C._len_torch_function_stack()))
