"""The torch function mode that sees each op, and the tricks that keep it unseen."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, handle_torch_function

from .kinds import is_a
from .own import HIDDEN, is_own_code
from .patches import Patches
from .tape import Event, Held, Tape

Call = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]

_DISPATCH = handle_torch_function.__code__
_BACKWARD = torch.Tensor.backward
_OPTIMIZERS = os.path.join(os.path.dirname(os.path.abspath(torch.__file__)), "optim") + os.sep
"""What an optimizer does to its parameters is one event, its step; a closure that it calls is the program's."""


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

    def __init__(self, tape: Tape, fault: Callable[[str, BaseException], None], full_of_events: Callable[[], None]) -> None:
        self.tape = tape
        self.fault = fault
        self.full_of_events = full_of_events
        self.idle = True
        self.limit = float("inf")
        """Events of the tape at which it falls idle by itself: a loop that gives the recorder no place to step aside."""
        self._calls: dict[tuple[int, int], tuple[CodeType, Call]] = {}

    def forget(self) -> None:
        """Lets go of the call sites seen so far."""
        self._calls.clear()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Makes the call, as one event where it is one. Its frames are taken off the traceback of what it raises."""
        if kwargs is None:
            kwargs = {}
        if func in _QUESTIONS:
            try:
                return func(*args, **kwargs)
            except Exception as error:
                self.note_failed_question(func, sys._getframe(1), args, kwargs, error)
                leave_traceback(error, 1)
                raise
        event = None
        call: Call | None
        try:
            frame = sys._getframe(1)
            if frame.f_code is _DISPATCH:
                frame = frame.f_back.f_back  # type: ignore[union-attr,assignment]
            caller = frame.f_code
            call = self.call_as(frame)
            if not self.passes(func, frame):
                event, held = self.tape.begin(func, frame, args, kwargs)
        except RecursionError:  # the program is at its limit: it meets it in the op itself, as without us
            call = None
        except Exception as fault:
            self.fault("before an op", fault)
            call = None
        finally:
            frame = None  # type: ignore[assignment]
        if call is None:
            try:
                return func(*args, **kwargs)
            except BaseException as error:
                error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
                raise
        try:
            result = call(func, args, kwargs)
        except BaseException as error:
            if event is not None:
                try:
                    self.tape.failed(event, held, error)
                except Exception as fault:
                    self.fault("after a failing op", fault)
                hold_call(error, Refusal(func, args, kwargs, caller))
            elif func in _PASSED and is_a(error, Exception):
                self.note_failed_question(func, sys._getframe(1), args, kwargs, error)
            leave_traceback(error, 2)
            raise
        if event is not None:
            self.ended(event, held, result, func)
        return result

    def passes(self, func: Any, frame: FrameType) -> bool:
        """Whether a call is no event."""
        if self.idle or func in _PASSED or func in _UNRECORDED or func is _BACKWARD or func in _QUESTIONS:
            return True
        return self.tape.now.stepping and frame.f_code.co_filename.startswith(_OPTIMIZERS)

    def ended(self, event: Event, held: Held, result: Any, func: Any) -> None:
        """Notes that the call has returned."""
        try:
            self.tape.end(event, held, result)
            if event.index >= self.limit:
                self.idle = True
                self.full_of_events()
            if event.outputs and getattr(func, "__name__", "") == "__get__" and func.__self__ is torch.Tensor.data:
                self.tape.aliases.add(event.outputs[0][0])
        except RecursionError:
            pass  # the event stays without its result: the program is at its limit
        except Exception as fault:
            self.fault("after an op", fault)

    def asks(self, func: Any) -> bool:
        """Whether a call is an event only where it fails."""
        return func in _QUESTIONS or func in _PASSED

    def note_failed_question(self, func: Any, frame: FrameType, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> None:
        """A question about a tensor is an event where it has no answer."""
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


_REFUSAL = "__torchwhy__"


class Refusal:
    """A call that an op has refused, for as long as its exception lives."""

    __slots__ = ("func", "args", "kwargs", "code")

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], code: CodeType) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.code = code
        """Of the frame that made the call; of the function itself where that is written in Python."""

    def __reduce__(self) -> tuple[type[None], tuple[()]]:  # an exception may be pickled with all that it has
        return type(None), ()


def hold_call(error: BaseException, refusal: Refusal) -> None:
    """Leaves the call with its exception, as a frame in its traceback would: it is let go of when the exception is."""
    vars(error)[_REFUSAL] = refusal


def held_call(error: BaseException) -> Refusal | None:
    """The call that raised this exception, where it was seen."""
    found = vars(error).get(_REFUSAL)
    return found if type(found) is Refusal else None


def leave_traceback(error: BaseException, levels: int) -> None:
    """Takes the handler's own levels, the outermost so far, off a traceback that is on its way to the program."""
    trace = error.__traceback__
    while levels and trace is not None and is_own_code(trace.tb_frame.f_code):
        trace, levels = trace.tb_next, levels - 1
    error.__traceback__ = trace


def hide(function: FunctionType) -> None:
    """Gives hook code a file name that `warnings.warn` steps over, so that a warning's `stacklevel` still counts the program's frames."""
    code = function.__code__
    function.__code__ = code.replace(co_filename=code.co_filename + HIDDEN)


hide(Recording.__torch_function__)  # type: ignore[arg-type]

# The stack of torch function modes as it is. The program sees it without us: `install_views`.
_length, _at = torch._C._len_torch_function_stack, torch._C._get_function_stack_at
_push, _pop = torch._C._push_on_torch_function_stack, torch._C._pop_torch_function_stack
_is_enabled = torch._C._is_torch_function_mode_enabled


def push_mode(mode: TorchFunctionMode) -> None:
    """Puts the mode lowest on this thread's stack, below the program's own, so that theirs are entered and left as ever."""
    if mode_is_on(mode):
        return
    above = [_pop() for _ in range(_length())]
    _push(mode)
    for other in reversed(above):
        _push(other)


def remove_mode(mode: TorchFunctionMode) -> bool:
    """Takes the mode off this thread's stack, wherever it is; says whether it was there."""
    if not mode_is_on(mode):
        return False
    stack = [_pop() for _ in range(_length())]
    for other in reversed(stack):
        if other is not mode:
            _push(other)
    return True


def mode_is_on(mode: TorchFunctionMode) -> bool:
    """Whether the mode is on this thread's stack."""
    return any(_at(i) is mode for i in range(_length()))


_OFFERING = (torch.overrides, "_is_torch_function_mode_enabled")
"""Where `handle_torch_function` asks whether to hand the call to a mode: ours is one."""


def install_views(mode: TorchFunctionMode, patches: Patches) -> None:
    """Lets the program see, count and take down the stack of modes as if ours were not on it."""

    def _len_torch_function_stack() -> int:
        return int(_length()) - mode_is_on(mode)

    def _get_function_stack_at(level: int) -> Any:
        return _at(level + mode_is_on(mode))  # ours is the lowest

    def _is_torch_function_mode_enabled() -> bool:
        return bool(_is_enabled()) and not (_length() == 1 and mode_is_on(mode))

    seen = {
        "_len_torch_function_stack": (_length, _len_torch_function_stack),
        "_get_function_stack_at": (_at, _get_function_stack_at),
        "_is_torch_function_mode_enabled": (_is_enabled, _is_torch_function_mode_enabled),
    }
    for module in [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == "torch" and m is not None]:
        names = vars(module)
        for name, (original, view) in seen.items():
            if names.get(name) is original and (module, name) != _OFFERING:
                patches.set(module, name, view)
    for name in ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic"):
        patches.set(torch.overrides, name, _without(mode, getattr(torch.overrides, name)))


def _without(mode: TorchFunctionMode, asks: Callable[..., Any]) -> Callable[..., bool]:
    """A question of `torch.overrides` about overrides, answered while our mode is off.

    torch's own modules have imported the question by itself: they are still told of the mode.
    """

    @functools.wraps(asks)
    def has_torch_function(*relevant: Any) -> bool:
        pushed = remove_mode(mode)
        try:
            return bool(asks(*relevant))
        finally:
            if pushed:
                push_mode(mode)

    return has_torch_function
