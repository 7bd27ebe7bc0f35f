"""The program run once more from its start, in a child: with new texts for some files, watched, and told as it goes."""

from __future__ import annotations

import errno
import importlib.machinery
import io
import linecache
import math
import os
import random
import socket
import sys
import tempfile
import time
import tokenize
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import torch
import torch.utils.data
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ..record.kinds import is_a, message_of
from ..record.spans import origin, relative
from .diversion import divert
from .pristine import Execute
from .spawning import fork_what_is_spawned
from .standin import stand_in
from .trial import Elsewhere, Trial, failure_in

Tell = Callable[..., None]
_FULL_STEPS = 24
_MOST_NUMBERS = 20_000_000
_LINKS = 20
_REFUSALS = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED)
_REFUSED = tuple(os.strerror(number) for number in _REFUSALS)
_WAITS = 5
"""How many times longer than its grace in CPU time it may go on by the clock: it may sleep."""


def rerun(trial: Trial, tell: Tell, execute: Execute) -> None:
    """Run it to its end or its failure. `execute` is given the new texts, encoded, by path; and where to show the evidence of a failure."""
    stand_in()
    fork_what_is_spawned()
    torch.set_num_threads(trial.threads)
    random.seed(0)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(0)
    texts = {path: encoded(path, text) for path, text in trial.files}
    _overlay(dict(trial.files), texts)
    divert(tempfile.gettempdir())
    watch = _Watch(trial, tell)
    watch.install()
    try:
        execute(texts, (lambda evidence: tell(evidence=evidence)) if trial.record else None)
        watch.end("ended")
    except Elsewhere as error:
        watch.end("raised", refused=_refusal(error), **error.said)
    except BaseException as end:
        failure = failure_in(end)
        if is_a(failure, SystemExit):
            code = failure.code if type(failure.code) in (int, bool) else int(failure.code is not None)
            watch.end("ended", exit_code=code)
        else:
            watch.end("raised", refused=_refusal(failure), **described(failure))


def _refusal(error: BaseException | None) -> str:
    """What an exception, or one that it came of, says as the system does when it refuses something; that may be the fence."""
    for _ in range(_LINKS):
        if error is None:
            break
        message = message_of(error)
        if (is_a(error, OSError) and error.errno in _REFUSALS) or is_a(error, socket.gaierror) or any(t in message for t in _REFUSED):
            return f"{type(error).__name__}: {message.strip().splitlines()[0] if message.strip() else ''}"[:200]
        error = error.__cause__ or error.__context__
    return ""


def encoded(path: str, text: str) -> bytes:
    """The text in the encoding that its file declares."""
    try:
        with open(path, "rb") as stream:
            coding, _ = tokenize.detect_encoding(stream.readline)
        return text.encode(coding)
    except (OSError, SyntaxError, UnicodeEncodeError):
        return text.encode()


def _overlay(texts: Mapping[str, str], data: Mapping[str, bytes]) -> None:
    """Imports, tracebacks and `inspect` read the new texts."""
    loader = importlib.machinery.SourceFileLoader
    read, stat = loader.get_data, loader.path_stats

    def get_data(self: importlib.machinery.SourceFileLoader, path: str) -> bytes:
        return data[path] if path in data else read(self, path)

    def path_stats(self: importlib.machinery.SourceFileLoader, path: str) -> Mapping[str, Any]:
        if path in data:
            raise OSError("this text was never compiled to a file")
        return stat(self, path)

    loader.get_data, loader.path_stats = get_data, path_stats  # type: ignore[method-assign, assignment]
    opened = tokenize.open

    def read_source(path: Any) -> Any:
        at = os.path.abspath(path)
        return io.StringIO(texts[at]) if at in texts else opened(path)

    tokenize.open = read_source  # type: ignore[assignment]
    for path, text in texts.items():
        linecache.cache[path] = (len(text), None, io.StringIO(text).readlines(), path)


class _Watch:
    """Counts optimizer steps, and notes what should not change from one run to another; of this process only, its children race."""

    def __init__(self, trial: Trial, tell: Tell) -> None:
        self.past, self.grace, self.tell = trial.past, trial.grace, tell
        self.steps = 0
        self.losses: list[float] = []
        self.passed_at: tuple[float, float] | None = None
        self.told_at = 0.0
        self.process = os.getpid()

    def install(self) -> None:
        register_optimizer_step_pre_hook(self._before)
        register_optimizer_step_post_hook(self._after)
        backward = torch.autograd.backward

        def watched(tensors: Any, *args: Any, **kwargs: Any) -> None:
            self._note(tensors)
            backward(tensors, *args, **kwargs)

        torch.autograd.backward = watched
        self._see_parameters()

    def _see_parameters(self) -> None:
        """Tells the sizes of what optimizers are given."""
        given = torch.optim.Optimizer.add_param_group

        def add_param_group(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> None:
            given(optimizer, group)
            if not self._is_elsewhere():
                self.tell(parameters=[_sizes(p) for p in optimizer.param_groups[-1]["params"]])

        torch.optim.Optimizer.add_param_group = add_param_group  # type: ignore[method-assign]

    def end(self, how: str, **more: Any) -> None:
        if not self._is_elsewhere():
            self.tell(end=how, steps=self.steps, losses=self.losses, **more)

    def _is_elsewhere(self) -> bool:
        return os.getpid() != self.process

    def _note(self, roots: Any) -> None:
        if self._is_elsewhere():
            return
        root = roots if isinstance(roots, torch.Tensor) else next(iter(roots), None)
        if self.steps < _FULL_STEPS and root is not None and root.numel() == 1 and root.device.type != "meta" and len(self.losses) < 8:
            self.losses.append(root.detach().double().item())

    def _before(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self.steps < _FULL_STEPS and not self._is_elsewhere():
            with torch.no_grad():
                count, norm = _gradients(optimizer)
            trained = [p for g in optimizer.param_groups for p in g["params"] if p.requires_grad]
            said = {"losses": self.losses, "gradients": count, "norm": norm, "of": len(trained)}
            self.tell(step=self.steps, **said)

    def _after(self, *_: Any) -> None:
        if self._is_elsewhere():
            return
        self.steps += 1
        self.losses = []
        now, spent = time.monotonic(), time.process_time()
        if self.past is not None and self.steps > self.past:
            self.passed_at = self.passed_at or (now, spent)
            if spent - self.passed_at[1] > self.grace or now - self.passed_at[0] > _WAITS * self.grace:
                self.end("stopped")
                os._exit(0)
        if self.steps <= _FULL_STEPS or now - self.told_at > 0.1:
            self.told_at = now
            self.tell(steps=self.steps)


def _gradients(optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """How many parameters have a gradient, and the norm of all of them."""
    found = [p.grad for group in optimizer.param_groups for p in group["params"] if getattr(p, "grad", None) is not None]
    if sum(g.numel() for g in found) > _MOST_NUMBERS or any(g.layout != torch.strided or g.device.type == "meta" for g in found):
        return len(found), math.nan
    return len(found), math.sqrt(
        sum(float(torch.linalg.vector_norm(g.detach().double().abs() if g.is_complex() else g.detach().double())) ** 2 for g in found)
    )


def _sizes(parameter: torch.Tensor) -> list[int]:
    try:
        return list(parameter.shape)
    except RuntimeError:  # a lazy one has none yet
        return []


def described(error: BaseException) -> dict[str, Any]:
    """An exception as a trial tells it: type, message, the innermost place in the program's own code."""
    trace, place = error.__traceback__, None
    while trace is not None:
        if origin(trace.tb_frame.f_code.co_filename) == "user":
            place = trace
        trace = trace.tb_next
    where = _place(place) if place is not None else {}
    return {"error_type": type(error).__name__, "message": message_of(error)[:20_000], **where}


def _place(level: TracebackType) -> dict[str, Any]:
    code = level.tb_frame.f_code
    return {"file": relative(code.co_filename), "line": level.tb_lineno, "function": code.co_name if code.co_name != "<module>" else ""}
