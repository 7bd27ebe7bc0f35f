"""Which expression a call passes for a parameter, and which recorded call ran a function."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from ..model import Span
from .constants import UNKNOWN, Constant
from .places import Place, Places
from .signatures import called, default_of, fields, holds, is_super, method, parameters
from .source import FUNCTIONS, Function, SourceFile


class Passing(Places):
    """From parameters to arguments, through the calls recorded around a place."""

    def parameter(self, place: Place, function: Function, name: str) -> list[Place]:
        calls = self.caller(place.source, function, place.calls)
        at = self.argument(calls, name, (), replace(place, node=function)) if calls else None
        return [replace(at, value=place.value, name=name)] if at else []

    def argument(self, calls: tuple[Span, ...], parameter: str, signature: Sequence[str] = (), callee: Place | None = None) -> Place | None:
        """The expression that the call `calls[0]` gives for a parameter, or the default of the callee's def."""
        source, node = self.sources.file(calls[0].file) if calls else None, self.sources.call_at(calls[0]) if calls else None
        if source is None or node is None:
            return None
        at = Place(source, node, calls)
        if callee is None and not signature:
            callee = self.constructor(self.seek(replace(at, node=node.func), ast.ClassDef, *FUNCTIONS), node)
        names = list(signature) or (fields(callee.node) if callee else [])
        passed = self.passed(at, parameter, names.index(parameter) if parameter in names else None)
        if passed is not None or callee is None:
            return None if passed is None or passed.node is at.node else replace(passed, kind="argument", name=parameter)
        given = default_of(callee.node, parameter)
        return replace(callee, node=given, calls=calls, kind="default", name=parameter) if given else None

    def passed(self, call: Place, parameter: str, position: int | None) -> Place | None:
        """The expression passed; None when surely nothing is; the call's own place when it cannot be told."""
        node = call.node
        assert isinstance(node, ast.Call)
        count = 0
        for arg in node.args:
            if not isinstance(arg, ast.Starred):
                if count == position:
                    return replace(call, node=arg)
                count += 1
                continue
            sequence = self.seek(replace(call, node=arg.value), ast.Tuple, ast.List)
            if sequence is None or any(isinstance(e, ast.Starred) for e in sequence.node.elts):  # type: ignore[attr-defined]
                if position is None or count <= position:
                    return next((replace(call, node=k.value) for k in node.keywords if k.arg == parameter), call)
                break
            elements = sequence.node.elts  # type: ignore[attr-defined]
            if position is not None and count <= position < count + len(elements):
                return replace(sequence, node=elements[position - count])
            count += len(elements)
        unknown = None
        for keyword in node.keywords:
            if keyword.arg == parameter:
                return replace(call, node=keyword.value)
            if keyword.arg is None:
                entries = self.entries(replace(call, node=keyword.value))
                if entries is None:
                    unknown = call
                elif parameter in entries:
                    return entries[parameter]
        return unknown

    def entries(self, place: Place) -> dict[Constant, Place] | None:
        """The entries of a mapping written as a literal or as `dict(...)`; of a function's own `**kwargs`, what its caller passed."""
        node = place.node
        function = place.source.function(node)
        if isinstance(node, ast.Name) and function and function.args.kwarg and function.args.kwarg.arg == node.id:
            calls = self.caller(place.source, function, place.calls)
            call = self.sources.call_at(calls[0]) if calls else None
            source = self.sources.file(calls[0].file) if calls else None
            if call is None or source is None:
                return None
            own = parameters(function)
            return self._merge([(k.arg, Place(source, k.value, calls)) for k in call.keywords if k.arg not in own])
        at = self.seek(place, ast.Dict, ast.Call)
        while at is not None and isinstance(at.node, ast.Call):
            name = getattr(at.node.func, "id", getattr(at.node.func, "attr", ""))
            if name in ("dict", "SimpleNamespace", "Namespace", "EasyDict", "OrderedDict", "DotDict", "AttrDict", "edict"):
                first = [(None, replace(at, node=a)) for a in at.node.args]
                return self._merge([*first, *((k.arg, replace(at, node=k.value)) for k in at.node.keywords)])
            if name in ("asdict", "vars") and len(at.node.args) == 1 and (fields := self.fields(replace(at, node=at.node.args[0]))):
                return fields
            on = self.step(at)
            at = self.seek(on, ast.Dict, ast.Call) if on and on.node is not at.node else None
        if at is None or not isinstance(at.node, ast.Dict):
            return None
        keys = [UNKNOWN if k is None else self.fold(replace(at, node=k)) for k in at.node.keys]
        pairs = zip(at.node.keys, keys, at.node.values)
        return self._merge(
            [(None if k is None else folded, replace(at, node=v)) for k, folded, v in pairs if k is None or folded is not UNKNOWN]
        )

    def fields(self, place: Place) -> dict[Constant, Place]:
        """The fields of a dataclass's instance: what its constructor call passed, else their defaults."""
        made = self.seek(place, ast.Call)
        cls = self.seek(replace(made, node=made.node.func), ast.ClassDef) if made is not None and isinstance(made.node, ast.Call) else None
        if made is None or cls is None or not isinstance(made.node, ast.Call) or not isinstance(cls.node, ast.ClassDef):
            return {}
        written = [n for n in cls.node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        names = [n.target.id for n in written if isinstance(n.target, ast.Name)]
        found: dict[Constant, Place] = {
            n.target.id: replace(cls, node=n.value) for n in written if isinstance(n.target, ast.Name) and n.value is not None
        }
        found |= {name: replace(made, node=given) for name, given in zip(names, made.node.args)}
        return found | {k.arg: replace(made, node=k.value) for k in made.node.keywords if k.arg in names}

    def _merge(self, pairs: Sequence[tuple[Constant, Place]]) -> dict[Constant, Place] | None:
        found: dict[Constant, Place] = {}
        for key, place in pairs:
            if key is None:
                inner = self.entries(place)
                if inner is None:
                    return None
                found |= inner
            elif isinstance(key, (str, int, float)):
                found[key] = place
        return found

    def caller(self, source: SourceFile, function: Function, calls: tuple[Span, ...]) -> tuple[Span, ...]:
        """The recorded calls from the one on that ran a function; else the only call of it in the text; else none."""
        inside = [self.function_of(call) is function for call in calls]
        at = inside.index(True) + 1 if any(inside) else 0
        while at and at < len(calls) and inside[at] and holds(calls[at], calls[at - 1]):
            at += 1  # the frames of a comprehension lie in the same function
        cls = source.class_of(function) if source.function(function) is None else None
        if at < len(calls):
            node, file = self.sources.call_at(calls[at]), self.sources.file(calls[at].file)
            if node is None or file is None:
                return ()
            known = self.seek(Place(file, node.func, calls[at:]), ast.ClassDef, *FUNCTIONS)
            if known is None or known.node is function:
                return calls[at:] if known or self._may_run(node, function, cls) else ()
            if isinstance(known.node, ast.ClassDef) and cls is not None:
                return self._through(known, function, cls, calls[at:])
            return ()
        wanted = cls.name if cls and function.name == "__init__" else function.name
        return self.only_call(wanted)

    def only_call(self, name: str) -> tuple[Span, ...]:
        """The one place in the text that names a function or class, where that is a call of it."""
        every = [(f, n) for f in self.sources.files() for n in f.named.get(name, ())]
        if len(every) != 1:
            return ()
        source, node = every[0]
        call = source.parents.get(node)
        return (source.span(call),) if isinstance(call, ast.Call) and call.func is node else ()

    def _through(self, made: Place, function: Function, cls: ast.ClassDef, calls: tuple[Span, ...]) -> tuple[Span, ...]:
        """From a constructor call to the `__init__` asked for: its own, an inherited one, or one reached by `super().__init__(...)`."""
        for place in self.classes(made):
            init = method(place.node, function.name)
            if place.node is cls:
                return calls
            if init is not None:
                supers = [n for n in ast.walk(init) if isinstance(n, ast.Call) and is_super(n, function.name)]
                if len(supers) != 1:
                    return ()
                calls = (place.source.span(supers[0]), *calls)
        return ()

    def _may_run(self, call: ast.Call, function: Function, cls: ast.ClassDef | None) -> bool:
        """Whether a call of something that the text does not name may have run the function, as recorded."""
        if is_super(call, function.name) or called(call) == function.name:
            return True
        return function.name in ("__init__", "forward", "__call__") if cls else isinstance(call.func, (ast.Name, ast.Subscript, ast.Call))

    def function_of(self, span: Span) -> ast.AST | None:
        source = self.sources.file(span.file)
        node = (source.exactly_at(span) if span.end_line else None) if source else None
        if source is None or node is None:
            return self.sources.function_at(span.file, span.line)
        return source.function(node)

    def constructor(self, callee: Place | None, call: ast.Call | None = None) -> Place | None:
        """The def that a call of this class or function runs (a dataclass: the class itself)."""
        if callee is None or not isinstance(callee.node, ast.ClassDef):
            return callee
        for place in self.classes(callee):
            init = method(place.node, "__init__")
            if init is not None:
                return replace(place, node=init)
        return callee

    def classes(self, place: Place, depth: int = 6) -> list[Place]:
        """A class and the program's own classes that it inherits from."""
        found = [place]
        for base in place.node.bases if depth and isinstance(place.node, ast.ClassDef) else []:
            at = self.seek(replace(place, node=base), ast.ClassDef)
            found += self.classes(at, depth - 1) if at and at.node is not place.node else []
        return found
