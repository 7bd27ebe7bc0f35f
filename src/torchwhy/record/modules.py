"""Modules: where each was constructed and with which settings, and which one is running."""

from __future__ import annotations

import ast
import copy
import copyreg
import inspect
import linecache
import sys
import weakref
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..model import Argument, ModuleFacts, Span, Value
from .facts import Facts, Identities
from .kinds import held_by, is_a, is_one_of, module_of, name_of, qualname_of
from .patches import Patches
from .spans import Place, origin, places_from, relative, spans

if TYPE_CHECKING:
    from .recorder import Recorder

_NEWOBJ = copyreg.__newobj__.__code__  # type: ignore[attr-defined]
_RECONSTRUCT = copy._reconstruct.__code__  # type: ignore[attr-defined]
_SIMPLE = (int, float, bool, str, type(None))
_OF_TORCH = frozenset(vars(nn.Module()))
_LOOSE = 64
_DEEPEST = 40
MOST = 4000
"""Modules that are described: some tenths of a millisecond each, with the program waiting at its end."""
_Signatures = dict[int, "list[inspect.Parameter] | None"]
"""By the class's identity, while its modules are described."""


class Birth:
    """How a module was constructed, plain."""

    __slots__ = ("args", "kwargs", "places", "original")

    def __init__(self, args: tuple[Value, ...], kwargs: dict[str, Value], places: tuple[Place, ...], original: int | None) -> None:
        self.args, self.kwargs, self.places, self.original = args, kwargs, places, original


class Modules:
    """All modules seen, by weak identity; nothing is written into them."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.identities = Identities()
        self.births: dict[int, Birth] = {}
        self.left_out = 0
        """How many were not described when it was asked last."""

    def born(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None) -> None:
        """Notes a construction. A copy keeps the birth of its original."""
        number = self.identities.of(module)
        if frame is not None and frame.f_code is _NEWOBJ and frame.f_back is not None and frame.f_back.f_code is _RECONSTRUCT:
            original = frame.f_back.f_locals.get("x")
            source = self.identities.known(original) if is_a(original, nn.Module) else None
            birth = self.births.get(source) if source is not None else None
            if birth is not None:
                self.births[number] = Birth(birth.args, birth.kwargs, birth.places, source)
                return
        describe = self.facts.describe
        self.births[number] = Birth(
            tuple(describe(a, 2) for a in args[:64]), {k: describe(v, 2) for k, v in kwargs.items()}, places_from(frame, 8), None
        )

    def passed(self, module: nn.Module) -> dict[str, Value]:
        """What the module's constructor call gave, by parameter name; empty where it was not seen."""
        kind = type(module)
        settings, passed, _ = _bind(kind, self.births.get(self.identities.of(module)), _parameters(kind))
        return {argument.name: argument.value for argument in settings if argument.name in passed}

    def module_facts(self, roots: Mapping[str, nn.Module], latest: Iterable[int] = ()) -> tuple[ModuleFacts, ...]:
        """The living modules, each under the path from the first root that holds it; of very many, those that ran last and what holds them."""
        names: dict[int, str] = {}
        modules: dict[int, nn.Module] = dict(self.identities.living())
        for name, root in roots.items():
            self._name(name, root, names, modules)
        inner = {id(child) for module in modules.values() for child in (*children(module).values(), *loose(module, nn.Module).values())}
        taken: set[str] = set(roots)
        for top in [m for number, m in sorted(modules.items()) if id(m) not in inner and number not in names]:
            own = name_of(type(top))
            name, count = own, 2
            while name in taken:
                name, count = f"{own}_{count}", count + 1
            taken.add(name)
            self._name(name, top, names, modules)
        signatures: _Signatures = {}
        described = _described(modules, names, latest)
        self.left_out = len(modules) - len(described)
        return tuple(
            self._facts_of(number, modules[number], names.get(number, name_of(type(modules[number]))), signatures) for number in described
        )

    def _name(self, name: str, root: nn.Module, names: dict[int, str], modules: dict[int, nn.Module]) -> None:
        waiting = [(name, root)]
        while waiting:
            path, module = waiting.pop()
            number = self.identities.of(module)
            modules[number] = module
            if number not in names:
                names[number] = path
                held = {**children(module), **loose(module, nn.Module)}
                waiting.extend((f"{path}.{key}", child) for key, child in reversed(held.items()))

    def _facts_of(self, number: int, module: nn.Module, fqn: str, signatures: _Signatures) -> ModuleFacts:
        kind = type(module)
        birth = self.births.get(number)
        if id(kind) not in signatures:
            signatures[id(kind)] = _parameters(kind)
        settings, passed, signature = _bind(kind, birth, signatures[id(kind)])
        given = {argument.name for argument in settings}
        state = held_by(module)
        for name, value in state.items():
            if not name.startswith("_") and name not in given and name != "training" and _is_simple(value):
                settings.append(Argument(name, self.facts.describe(value, 2)))
        for name in getattr(kind, "__constants__", ()):
            value = getattr(kind, name, ...)  # a constructor that raised has not set all of them
            if name not in given and name not in state and is_one_of(type(value), _SIMPLE):
                settings.append(Argument(name, self.facts.describe(value, 2)))
        tensors = [
            tuple(Argument(name, self.facts.of(t)) for name, t in (state.get(store) or {}).items() if is_a(t, torch.Tensor))
            for store in ("_parameters", "_buffers")
        ]
        own = origin_of_class(kind) in ("user", "library")
        return ModuleFacts(
            id=number,
            fqn=fqn,
            kind=name_of(kind),
            qualname=f"{module_of(kind)}.{qualname_of(kind)}",
            settings=tuple(settings),
            passed=passed,
            signature=signature,
            built=spans(birth.places) if birth else (),
            training=bool(state.get("training", True)),
            parameters=tensors[0],
            buffers=tensors[1],
            children=tuple((name, self.identities.of(child)) for name, child in children(module).items()),
            loose=tuple(Argument(name, self.facts.of(t)) for name, t in loose(module, torch.Tensor).items()),
            loose_children=tuple((name, self.identities.of(child)) for name, child in loose(module, nn.Module).items()),
            defined=class_span(kind) if own else None,
            methods=tuple(n for n, f in vars(kind).items() if isinstance(f, (FunctionType, classmethod, staticmethod))) if own else (),
            copied_from=birth.original if birth else None,
        )


def children(module: nn.Module) -> dict[str, nn.Module]:
    """The module's direct children, without running its code."""
    return {name: child for name, child in (held_by(module).get("_modules") or {}).items() if is_a(child, nn.Module)}


def loose(module: nn.Module, kind: type) -> dict[str, Any]:
    """What of a kind (tensors, modules) its plain attributes hold, and the lists and dicts in them; without running its code."""
    found: dict[str, Any] = {}
    for name, value in held_by(module).items():
        if name in _OF_TORCH:
            continue
        if is_a(value, kind):
            found[name] = value
        elif is_one_of(type(value), (list, tuple)):
            found.update((f"{name}[{i}]", item) for i, item in enumerate(value[:_LOOSE]) if is_a(item, kind))
        elif type(value) is dict:
            pairs = list(value.items())[:_LOOSE]
            found.update((f"{name}[{key!r}]", item) for key, item in pairs if is_one_of(type(key), (str, int)) and is_a(item, kind))
    return found


def _is_simple(value: Any) -> bool:
    if is_one_of(type(value), (tuple, list)):
        return len(value) <= 8 and all(is_one_of(type(item), _SIMPLE) for item in value)
    return is_one_of(type(value), _SIMPLE)


def _constructor(kind: Any) -> Any:
    if issubclass(kind, nn.RNNBase) and kind.__init__ is not nn.RNNBase.__init__ and kind.__module__.startswith("torch."):
        return nn.RNNBase.__init__
    return kind.__init__


def _parameters(kind: type) -> list[inspect.Parameter] | None:
    """The constructor's, without `self`; None where they can't be had."""
    try:
        parameters = list(inspect.signature(_constructor(kind)).parameters.values())[1:]
    except (TypeError, ValueError):
        return None
    return parameters[1:] if _constructor(kind) is nn.RNNBase.__init__ and kind is not nn.RNNBase else parameters


def _described(modules: Mapping[int, nn.Module], names: Mapping[int, str], latest: Iterable[int]) -> list[int]:
    """The modules to describe, in their order: all, or those that ran last, the containers on their paths, and the youngest."""
    if len(modules) <= MOST:
        return sorted(modules)
    numbers = {name: number for number, name in reversed(list(names.items()))}
    chosen: dict[int, None] = {}
    for number in (*latest, *sorted(modules, reverse=True)):
        if len(chosen) >= MOST:
            break
        if number in modules and number not in chosen:
            parts = names.get(number, "").split(".")[:_DEEPEST]
            paths = (numbers.get(".".join(parts[:end])) for end in range(1, len(parts)))
            chosen.update(dict.fromkeys([*(above for above in paths if above is not None), number]))
    return sorted(chosen)


def _bind(
    kind: type, birth: Birth | None, parameters: list[inspect.Parameter] | None
) -> tuple[list[Argument], tuple[str, ...], tuple[str, ...]]:
    """The constructor's arguments by parameter name with defaults, those passed, and the parameters in order."""
    if parameters is None:
        return [], (), ()
    order = tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    if birth is None:
        return [], (), order
    values: dict[str, Value] = {}
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
    for place, value in enumerate(birth.args):
        values[positional[place].name if place < len(positional) else f"{rest}[{place - len(positional)}]"] = value
    values.update(birth.kwargs)
    passed = tuple(values)
    plain = Facts()
    settings = [Argument(name, value) for name, value in values.items()]
    settings += [Argument(p.name, plain.describe(p.default, 2)) for p in parameters if p.name not in values and p.default is not p.empty]
    return settings, passed, order


def origin_of_class(kind: type) -> str:
    """Whose class it is."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None:
        code = next((f.__code__ for f in vars(kind).values() if isinstance(f, FunctionType)), None)
        return origin(code.co_filename) if code is not None else "user"
    return origin(file)


@lru_cache(maxsize=512)
def _classes(filename: str) -> dict[str, Span]:
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, Span] = {}

    def visit(node: ast.AST, path: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                name = path + child.name
                found[name] = Span(
                    relative(filename),
                    child.lineno,
                    child.col_offset,
                    child.lineno,
                    child.col_offset + len("class ") + len(child.name),
                    name,
                )
                visit(child, name + ".")
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                visit(child, f"{path}{child.name}.<locals>.")
            else:
                visit(child, path)

    visit(tree, "")
    return found


def class_span(kind: type) -> Span | None:
    """The class statement, where the source shows it."""
    code = next((f.__code__ for f in vars(kind).values() if isinstance(f, FunctionType)), None)
    file = code.co_filename if code is not None else getattr(sys.modules.get(kind.__module__), "__file__", None)
    return _classes(file).get(kind.__qualname__) if file else None


def install_births(recorder: Recorder) -> None:
    """Sees each module's construction.

    `__new__` cannot be taken away again, since `object.__new__` would then refuse arguments: it stays behind, inert.
    """
    before = vars(nn.Module).get("__new__")
    current = getattr(before, "__func__", before)
    if current is not None and getattr(current, "recorders", None) is not None:
        current.recorders.append(weakref.ref(recorder))
        return
    if before is not None:
        recorder.problems.append("nn.Module has a __new__ of its own: constructions are not recorded")
        return
    recorders: list[weakref.ref[Recorder]] = [weakref.ref(recorder)]

    def __new__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        following = super(nn.Module, cls).__new__
        if following is not object.__new__ or (args or kwargs) and cls.__new__ is not __new__:
            module = following(cls, *args, **kwargs)  # type: ignore[call-arg]
        else:
            module = following(cls)
        for ref in recorders:
            seeing = ref()
            if seeing is not None and seeing.on:
                try:
                    seeing.modules.born(module, args, kwargs, sys._getframe(1))
                except Exception as fault:
                    seeing.fault("at a module's construction", fault)
        return module

    __new__.__annotations__ = dict(nn.Module.__init__.__annotations__)  # `inspect.signature(nn.Module)` shows them
    __new__.recorders = recorders  # type: ignore[attr-defined]
    nn.Module.__new__ = staticmethod(__new__)  # type: ignore[method-assign, assignment]


def leave_births(recorder: Recorder) -> None:
    """Makes the constructor hook inert for this recorder."""
    current = vars(nn.Module).get("__new__")
    current = getattr(current, "__func__", current)
    recorders = getattr(current, "recorders", None)
    if recorders is not None:
        recorders[:] = [ref for ref in recorders if ref() is not None and ref() is not recorder]


class Running:
    """The hook in `nn.Module.__call__`: knows which modules run (global module hooks would change the path of a call)."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The module is called."""
        recorder = self.recorder
        now = recorder.tape.now
        if not recorder.full:
            now.calls.append(None)
            return
        top = not now.modules
        now.calls.append(top)
        now.modules.append(0)
        try:
            if top:
                recorder.recover()
                now.running = "forward" if module.training else "evaluation"
            now.modules[-1] = recorder.modules.identities.of(module)
        except RecursionError:
            pass  # the program is at its limit: it meets it in the module itself
        except Exception as fault:
            recorder.fault("at a module's call", fault)

    def leave(self, result: Any) -> Any:
        """It returns."""
        self.fail()
        return result

    def fail(self) -> None:
        """It is over."""
        recorder = self.recorder
        now = recorder.tape.now
        top = now.calls.pop() if now.calls else None
        if top is None:
            return
        if now.modules:
            now.modules.pop()
        if top and recorder.tape.count >= recorder.limit:
            recorder.guard(recorder.settle)


def install_calls(recorder: Recorder, patches: Patches) -> None:
    """Knows the running module."""
    recorder.rewrite(patches, nn.Module.__call__, Running(recorder))
