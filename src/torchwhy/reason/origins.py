"""From an expression on to what decides it: the literal, the default, the entry of a config, maybe in another file.

Only steps with one answer are taken. Where a name has several possible values the one seen at run time (`value`) chooses; where that does not
choose either, the walk ends at the name. Nothing is evaluated but arithmetic on constants.
"""
from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..model import Plain, Span
from .scopes import Binding, Found, Step, bindings, dotted, exported, imported, reaching, scope_of
from .source import FUNCTIONS, UNREADABLE, Expression, Function, SourceFile, Sources

Constant = Any
"""int, float, str, bool, tuple, list or dict of such; None where it is not known."""

Kind = Literal["expression", "argument", "default", "assignment", "attribute", "config", "import", "argparse", "loop", "call"]
"""How the walk came to the expression; `expression` is the first."""

Form = Literal["literal", "name", "call", "expression"]

UNKNOWN: Any = object()


@dataclass(frozen=True, slots=True)
class Origin:
    """One place on the way. `name` is the name that was followed to it, `value` what it folds to, `form` what stands there.

    A last origin of form `name` means that the walk lost the trail; every other form decides.
    """

    span: Span
    text: str
    kind: Kind
    form: Form
    value: Constant = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A node with what is known at it: the calls around (nearest first) and the value that it had at run time."""

    source: SourceFile
    node: ast.AST
    calls: tuple[Span, ...] = ()
    value: Constant = None
    kind: Kind = "expression"
    name: str = ""


def origins(sources: Sources, expression: Span, calls: Sequence[Span] = (), value: Constant = None) -> tuple[Origin, ...]:
    """The places that decide the expression at a span, nearest first, the span itself included.

    `calls` are the calls around it as recorded (nearest first; the first may be the one that the expression is an argument of).
    """
    source = sources.file(expression.file)
    node = source.exactly_at(expression) if source else None
    return Walk(sources).origins(Place(source, node, tuple(calls), value)) if source and node else ()


def argument_origins(
    sources: Sources, calls: Sequence[Span], parameter: str, signature: Sequence[str] = (), value: Constant = None
) -> tuple[Origin, ...]:
    """The same for a parameter of the call `calls[0]`: from the expression passed, or from the default in the program's own def."""
    walk = Walk(sources)
    place = walk.argument(tuple(calls), parameter, signature)
    return walk.origins(replace(place, value=value)) if place else ()


def argument(sources: Sources, call: Span, parameter: str, signature: Sequence[str] = ()) -> Expression | None:
    """The expression that gives a parameter in the call at a span; None when unknown or not passed."""
    place = Walk(sources).argument((call,), parameter, signature)
    return place.source.expression(place.node) if place and place.kind != "default" else None


def default(sources: Sources, call: Span, parameter: str) -> Expression | None:
    """The default in the def of the program's own function or class, when the call at a span does not pass the parameter."""
    place = Walk(sources).argument((call,), parameter)
    return place.source.expression(place.node) if place and place.kind == "default" else None


def fold(sources: Sources, expression: Span, calls: Sequence[Span] = ()) -> Constant:
    """The constant that an expression comes to by arithmetic on literals and on names of such; None when unknown."""
    source = sources.file(expression.file)
    node = source.exactly_at(expression) if source else None
    found = Walk(sources).fold(Place(source, node, tuple(calls))) if source and node else UNKNOWN
    return None if found is UNKNOWN else found


class Walk:
    """One question. `budget` bounds the steps, so that no program makes it run long."""

    def __init__(self, sources: Sources, budget: int = 3000) -> None:
        self.sources = sources
        self.budget = budget
        self.depth = 0

    def origins(self, place: Place) -> tuple[Origin, ...]:
        found: list[Origin] = []
        seen: set[ast.AST] = set()
        at: Place | None = place
        while at is not None and at.node not in seen and len(found) < 40:
            seen.add(at.node)
            found.append(self.origin(at))
            at = self.step(at)
        return tuple(found)

    def origin(self, place: Place) -> Origin:
        value, literal = self.fold(place), _literal(place.node) is not UNKNOWN
        form: Form = "literal" if literal else "call" if isinstance(place.node, ast.Call) else "expression"
        if isinstance(place.node, (ast.Name, ast.Attribute, ast.arg)):
            form = "name"
        return Origin(
            place.source.span(place.node), place.source.segment(place.node), place.kind, form, None if value is UNKNOWN else value, place.name
        )

    # ── one step ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def step(self, place: Place) -> Place | None:
        """The next place towards what decides this one; None at the end."""
        self.budget -= 1
        if self.budget < 0 or self.depth > 60 or _literal(place.node) is not UNKNOWN:
            return None
        self.depth += 1
        try:
            return self._step(place)
        finally:
            self.depth -= 1

    def _step(self, place: Place) -> Place | None:
        node = place.node
        if isinstance(node, ast.Name):
            return self.choose(self.name(place), place.value)
        if isinstance(node, ast.Attribute):
            return self.choose(self.attribute(place), place.value)
        if isinstance(node, ast.Subscript):
            return self.subscript(place)
        if isinstance(node, ast.Call):
            return self.call(place)
        if isinstance(node, (ast.NamedExpr, ast.Await)):
            return replace(place, node=node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return _part(place, node.operand, -place.value if isinstance(place.value, (int, float)) else None)
        if isinstance(node, (ast.BinOp, ast.AugAssign)):
            sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
            open_ = [side for side in sides if _literal(side) is UNKNOWN]
            return _part(place, open_[0]) if len(open_) == 1 else None
        if isinstance(node, ast.IfExp):
            test = self.fold(replace(place, node=node.test))
            if test is not UNKNOWN:
                return _part(place, node.body if test else node.orelse, place.value)
            return self.choose([_part(place, branch, place.value) for branch in (node.body, node.orelse)], place.value)
        if isinstance(node, ast.BoolOp):
            return self.choose([_part(place, v, place.value) for v in node.values], place.value)
        return None

    def choose(self, places: Sequence[Place], value: Constant) -> Place | None:
        """The one place that fits the value; None where that is not exactly one."""
        if len(places) <= 1:
            return places[0] if places else None
        folded = [(place, self.fold(place)) for place in places]
        if value is None:
            fitting = [place for place, constant in folded if constant is not None]
        else:
            fitting = [p for p, c in folded if _same(c, value)] or [p for p, c in folded if c is UNKNOWN]
        return fitting[0] if len({place.node for place in fitting}) == 1 else None

    def seek(self, place: Place, *types: type[ast.AST]) -> Place | None:
        """The first place on the way whose node has one of the types."""
        at: Place | None = replace(place, value=None)
        for _ in range(20):
            if at is None or isinstance(at.node, types):
                return at
            at = self.step(at) if not isinstance(at.node, (ast.BinOp, ast.AugAssign, ast.UnaryOp)) else None
        return None

    # ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def name(self, place: Place, text: str = "") -> list[Place]:
        """The places that may give a name its value where it is used."""
        name = text or place.node.id  # type: ignore[attr-defined]
        scope, found = scope_of(place.source, place.node), list[Place]()
        while scope is not None:
            reached, is_open = reaching(place.source, name, place.node, scope)
            found += [p for b in reached for p in self.bound(place, b)]
            if isinstance(scope, (*FUNCTIONS, ast.Lambda)) and is_open and name in _parameters(scope):
                return found + (self.parameter(place, scope, name) if isinstance(scope, FUNCTIONS) else [])
            if not is_open or reached and not isinstance(scope, ast.Module):
                return found
            outer = scope_of(place.source, scope)
            while isinstance(outer, ast.ClassDef):
                outer = scope_of(place.source, outer)
            scope = outer
        return found or ([] if text else [p for f in exported(self.sources, place.source, name) for p in self.found(place, f, name)])

    def bound(self, place: Place, binding: Binding, kind: Kind = "assignment") -> list[Place]:
        """The value that a binding gives, taken out of its tuple or its loop."""
        if binding.kind == "import":
            return [p for f in imported(self.sources, place.source, binding) for p in self.found(place, f, binding.name)]
        at = replace(place, node=binding.value or binding.statement, kind=kind, name=binding.name)
        if binding.kind == "loop":
            elements = self.elements(at, binding.path)
            chosen = self.choose(elements, place.value) if elements else None
            return [replace(chosen or at, kind="loop", name=binding.name, value=place.value)]
        return [self.unpack(at, binding.path)]

    def found(self, place: Place, found: Found, name: str) -> list[Place]:
        there = replace(place, source=found.source, node=found.node, kind="import", name=name)
        return self.bound(there, found.binding, "import") if found.binding else [there]

    def unpack(self, place: Place, path: tuple[Step, ...]) -> Place:
        at = place
        for i in path:
            sequence = self.seek(at, ast.Tuple, ast.List)
            elements = sequence.node.elts if sequence else []  # type: ignore[attr-defined]
            if sequence is None or not isinstance(i, int) or any(isinstance(e, ast.Starred) for e in elements) or not -len(elements) <= i < len(elements):
                return place
            at = replace(sequence, node=elements[i], kind=place.kind, name=place.name, value=place.value)
        return at

    def elements(self, place: Place, path: tuple[Step, ...]) -> list[Place]:
        """What a loop's target runs over, where that is a literal (through zip, enumerate, slices, dict views); else nothing."""
        node = place.node
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            items = [replace(place, node=e) for e in node.elts]
            return [] if any(isinstance(e, ast.Starred) for e in node.elts) else [self.unpack(item, path) for item in items]
        if isinstance(node, ast.Dict):
            return [replace(place, node=k) for k in node.keys if k] if not path else []
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            return self.elements(replace(place, node=node.value), path)
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "zip" and path and isinstance(path[0], int) and 0 <= path[0] < len(node.args):
                return self.elements(replace(place, node=node.args[path[0]]), path[1:])
            if name in ("enumerate", "reversed", "sorted", "list", "tuple", "tqdm", "pairwise") and node.args:
                if name in ("enumerate", "pairwise"):
                    if not path or name == "enumerate" and path[0] != 1:
                        return []
                    path = path[1:]
                return self.elements(replace(place, node=node.args[0]), path)
            if name in ("items", "values") and isinstance(node.func, ast.Attribute):
                entries = self.seek(replace(place, node=node.func.value), ast.Dict)
                if entries is not None and isinstance(entries.node, ast.Dict):
                    which = entries.node.keys if name == "items" and path[:1] == (0,) else entries.node.values
                    return [self.unpack(replace(entries, node=e), path[1:] if name == "items" else path) for e in which if e]
            return []
        on = self.step(replace(place, value=None)) if isinstance(node, (ast.Name, ast.Attribute)) else None
        return self.elements(on, path) if on and self.depth < 40 else []

    # ── parameters and arguments ──────────────────────────────────────────────────────────────────────────────────────
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
        names = list(signature) or (_fields(callee.node) if callee else [])
        passed = self.passed(at, parameter, names.index(parameter) if parameter in names else None)
        if passed is not None or callee is None:
            return None if passed is None or passed.node is at.node else replace(passed, kind="argument", name=parameter)
        given = _default(callee.node, parameter)
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
            own = _parameters(function)
            return self._merge([(k.arg, Place(source, k.value, calls)) for k in call.keywords if k.arg not in own])
        at = self.seek(place, ast.Dict, ast.Call)
        while at is not None and isinstance(at.node, ast.Call):
            name = getattr(at.node.func, "id", getattr(at.node.func, "attr", ""))
            if name in ("dict", "SimpleNamespace", "Namespace", "EasyDict", "OrderedDict", "DotDict", "AttrDict", "edict"):
                first = [(None, replace(at, node=a)) for a in at.node.args]
                return self._merge([*first, *((k.arg, replace(at, node=k.value)) for k in at.node.keywords)])
            on = self.step(at)
            at = self.seek(on, ast.Dict, ast.Call) if on and on.node is not at.node else None
        if at is None or not isinstance(at.node, ast.Dict):
            return None
        keys = [UNKNOWN if k is None else self.fold(replace(at, node=k)) for k in at.node.keys]
        pairs = zip(at.node.keys, keys, at.node.values)
        return self._merge([(None if k is None else folded, replace(at, node=v)) for k, folded, v in pairs if k is None or folded is not UNKNOWN])

    def _merge(self, pairs: Sequence[tuple[Constant, Place]]) -> dict[Constant, Place] | None:
        found: dict[Constant, Place] = {}
        for key, place in pairs:
            if key is None:
                inner = self.entries(place)
                if inner is None:
                    return None
                found |= inner
            elif isinstance(key, (str, int, float, bool, tuple)):
                found[key] = place
        return found

    def caller(self, source: SourceFile, function: Function, calls: tuple[Span, ...]) -> tuple[Span, ...]:
        """The recorded calls from the one on that ran a function; else the only call of it in the text; else none."""
        inside = [self.function_of(call) is function for call in calls]
        at = inside.index(True) + 1 if any(inside) else 0
        while at and at < len(calls) and inside[at] and _holds(calls[at], calls[at - 1]):
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
        every = [(f, n) for f in self.sources.files() for n in f.nodes if isinstance(n, ast.Call) and _called(n) == wanted]
        return (every[0][0].span(every[0][1]),) if len(every) == 1 and (not any(inside)) else ()

    def _through(self, made: Place, function: Function, cls: ast.ClassDef, calls: tuple[Span, ...]) -> tuple[Span, ...]:
        """From a constructor call to the `__init__` asked for: its own, an inherited one, or one reached by `super().__init__(...)`."""
        for place in self.classes(made):
            init = _member(place.node, function.name)
            if place.node is cls:
                return calls
            if init is not None:
                supers = [n for n in ast.walk(init) if isinstance(n, ast.Call) and _is_super(n, function.name)]
                if len(supers) != 1:
                    return ()
                calls = (place.source.span(supers[0]), *calls)
        return ()

    def _may_run(self, call: ast.Call, function: Function, cls: ast.ClassDef | None) -> bool:
        """Whether a call of something that the text does not name may have run the function, as recorded."""
        if _is_super(call, function.name) or _called(call) == function.name:
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
            init = _member(place.node, "__init__")
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

    # ── attributes, entries, calls ────────────────────────────────────────────────────────────────────────────────────
    def attribute(self, place: Place) -> list[Place]:
        node = place.node
        assert isinstance(node, ast.Attribute)
        name = dotted(node)
        set_here = [replace(p, kind="attribute") for p in self.name(place, name)] if name else []
        if set_here:
            return set_here
        function = place.source.function(node)
        cls = place.source.class_of(function) if function else None
        if isinstance(node.value, ast.Name) and function and cls and node.value.id == _self(function):
            return self.member(replace(place, node=cls), node.attr, inside=True)
        base: Place | None = replace(place, node=node.value, value=None)
        for _ in range(20):
            base = self.seek(base, ast.Module, ast.ClassDef, ast.Call) if base else None
            if base is None:
                return []
            if isinstance(base.node, ast.Module):
                there = replace(base, value=place.value)
                return [p for f in exported(self.sources, base.source, node.attr) for p in self.found(there, f, node.attr)] or self.submodule(there, node)
            if isinstance(base.node, ast.ClassDef):
                return self.member(replace(base, value=place.value), node.attr, inside=True)
            assert isinstance(base.node, ast.Call)
            made = self.seek(replace(base, node=base.node.func), ast.ClassDef)
            if made is not None and not isinstance(base.node.func, ast.Attribute) or made and _called(base.node) == made.node.name:  # type: ignore[attr-defined]
                return self.member(replace(made, calls=self.enter(base), value=place.value), node.attr)
            called = _called(base.node)
            if called in ("parse_args", "parse_known_args"):
                return self.option(replace(base, value=place.value), node.attr)
            if called in ("eval", "train", "to", "cuda", "cpu", "double", "float", "half") and isinstance(base.node.func, ast.Attribute):
                base = replace(base, node=base.node.func.value)
                continue
            entries = self.entries(base)
            if entries is not None:
                return [replace(entries[node.attr], kind="config", name=node.attr, value=place.value)] if node.attr in entries else []
            base = self.step(base)
        return []

    def submodule(self, package: Place, node: ast.Attribute) -> list[Place]:
        """`package.module`, known to the program by an `import package.module`."""
        folder = package.source.file.replace("\\", "/").rpartition("/")[0]
        files = {f.file.replace("\\", "/"): f for f in self.sources.files()}
        found = [files[name] for name in (f"{folder}/{node.attr}.py", f"{folder}/{node.attr}/__init__.py") if name in files]
        return [replace(package, source=f, node=f.tree, kind="import", name=node.attr) for f in found if f.tree]

    def member(self, place: Place, name: str, inside: bool = False) -> list[Place]:
        """What gives an attribute of a class's instances its value; `inside`: the instance is not known by its constructor call."""
        for at in self.classes(place):
            cls = at.node
            methods = [n for n in cls.body if isinstance(n, FUNCTIONS)]  # type: ignore[attr-defined]
            init = [m for m in methods if m.name == "__init__"]
            for group in (init, [m for m in methods if m not in init]):
                every = [(m, b) for m in group for b in reaching(at.source, f"{_self(m)}.{name}", cls, m)[0] if b.kind != "augmented"]
                if every:
                    found = []
                    for method, binding in every:
                        calls = place.calls
                        if inside and not any(self.function_of(c) is method for c in calls):
                            calls = self.built(cls, place.value)  # type: ignore[arg-type]
                        found += self.bound(replace(at, calls=calls, value=place.value), binding, "attribute")
                    return found
            if not inside and any(isinstance(n, ast.AnnAssign) and dotted(n.target) == name for n in cls.body):  # type: ignore[attr-defined]
                field = self.argument(place.calls, name, (), self.constructor(place))
                if field is not None:
                    return [replace(field, value=place.value, kind="config", name=name)]
            level = [b for b in bindings(at.source).get(cls, ()) if b.name == name]
            if level:
                found = [p for b in level for p in self.bound(replace(at, calls=place.calls, value=place.value), b, "attribute")]
                return [replace(p, node=_field_default(p.node)) for p in found]
        return []

    def built(self, cls: ast.ClassDef, value: Constant) -> tuple[Span, ...]:
        """The calls that constructed a class's one instance: as recorded, else the only one in the text."""
        made = [m for m in self.sources.evidence.modules if m.kind == cls.name and m.built]
        if len({m.built for m in made}) > 1:
            made = [m for m in made if any(isinstance(s.value, Plain) and _same(s.value.value, value) for s in m.settings)]
        if len({m.built for m in made}) == 1:
            return made[0].built
        if made:
            return ()
        every = [(f, n) for f in self.sources.files() for n in f.nodes if isinstance(n, ast.Call) and _called(n) == cls.name]
        return (every[0][0].span(every[0][1]),) if len(every) == 1 else ()

    def option(self, place: Place, name: str) -> list[Place]:
        """The `add_argument` call that defines a command line option, or its default where that is the value."""
        files = [place.source, *(f for f in self.sources.files() if f is not place.source)]
        for source in files:
            calls = [n for n in source.nodes if isinstance(n, ast.Call) and _called(n) == "add_argument" and _destination(n) == name]
            if calls:
                at = replace(place, source=source, node=calls[0], kind="argparse", name=name)
                given = next((k.value for k in calls[0].keywords if k.arg == "default"), None)
                if len(calls) > 1 or given is None:
                    return [at] if len(calls) == 1 else []
                constant = self.fold(replace(at, node=given))
                passed = place.value is not None and constant is not UNKNOWN and not _same(constant, place.value)
                return [at if passed else replace(at, node=given)]
        return []

    def subscript(self, place: Place) -> Place | None:
        node = place.node
        assert isinstance(node, ast.Subscript)
        name = dotted(node)
        set_here = [replace(p, kind="config") for p in self.name(place, name)] if name else []
        if set_here:
            return self.choose(set_here, place.value)
        key = UNKNOWN if isinstance(node.slice, ast.Slice) else self.fold(replace(place, node=node.slice))
        return self.entry(replace(place, node=node.value), key, place.value)

    def entry(self, container: Place, key: Constant, value: Constant) -> Place | None:
        sequence = self.seek(container, ast.Tuple, ast.List, ast.Dict, ast.Call)
        if sequence is not None and isinstance(sequence.node, (ast.Tuple, ast.List)):
            every = {i: replace(sequence, node=e) for i, e in enumerate(sequence.node.elts)}
            if any(isinstance(p.node, ast.Starred) for p in every.values()):
                return None
            key = key + len(every) if isinstance(key, int) and key < 0 else key
        else:
            every = self.entries(container) or {}
        if key is UNKNOWN:
            chosen = self.choose(list(every.values()), value) if value is not None else None
        else:
            chosen = every.get(key) if isinstance(key, (str, int, float, tuple)) else None
        return replace(chosen, kind="config", value=value, name=str(key) if key is not UNKNOWN else "") if chosen else None

    def call(self, place: Place) -> Place | None:
        node = place.node
        assert isinstance(node, ast.Call)
        name, args = _called(node), node.args
        if isinstance(node.func, ast.Name) and name in ("int", "float", "round", "abs", "str", "deepcopy") and len(args) == 1:
            return _part(place, args[0], place.value if name in ("int", "deepcopy") else None)
        if isinstance(node.func, ast.Name) and name == "len" and len(args) == 1:
            counted = _part(place, args[0])
            return (self.step(counted) if isinstance(args[0], (ast.Name, ast.Attribute, ast.Subscript)) else None) or counted
        if isinstance(node.func, ast.Name) and name in ("max", "min") and len(args) > 1:
            return self.choose([_part(place, a, place.value) for a in args], place.value) if place.value is not None else None
        if isinstance(node.func, ast.Attribute) and name == "get" and args:
            key = self.fold(replace(place, node=args[0]))
            entries = self.entries(replace(place, node=node.func.value)) if key is not UNKNOWN else None
            if entries is None:
                return None
            if isinstance(key, (str, int)) and key in entries:
                return replace(entries[key], kind="config", name=str(key), value=place.value)
            return replace(place, node=args[1], kind="default") if len(args) > 1 else None
        if isinstance(node.func, ast.Attribute) and name in ("copy", "deepcopy") and len(args) < 2:
            return _part(place, args[0] if args else node.func.value, place.value)
        function = self.seek(replace(place, node=node.func), *FUNCTIONS, ast.ClassDef)
        if function is None or not isinstance(function.node, FUNCTIONS) or function.node.decorator_list:
            return None
        owned = [n for n in ast.walk(function.node) if function.source.function(n) is function.node]
        returned = [n.value for n in owned if isinstance(n, ast.Return) and n.value is not None]
        if len(returned) != 1 or any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in owned):
            return None
        return replace(function, node=returned[0], calls=self.enter(place), kind="call", name=name, value=place.value)

    def enter(self, call: Place) -> tuple[Span, ...]:
        """The calls around what a call in the text runs."""
        home = call.source.function(call.node)
        inside = [self.function_of(span) is home for span in call.calls]
        rest = call.calls[inside.index(True) + 1 :] if any(inside) else call.calls
        return (call.source.span(call.node), *(rest if home else ()))

    # ── constants ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def fold(self, place: Place) -> Constant:
        """The constant at a place, or UNKNOWN."""
        self.budget -= 1
        if self.budget < 0 or self.depth > 60:
            return UNKNOWN
        literal = _literal(place.node)
        if literal is not UNKNOWN:
            return literal
        self.depth += 1
        try:
            return self._fold(place)
        finally:
            self.depth -= 1

    def _fold(self, place: Place) -> Constant:
        node = place.node
        if isinstance(node, (ast.BinOp, ast.AugAssign)):
            sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
            return _compute(node.op, *(self.fold(_part(place, side)) for side in sides))
        if isinstance(node, ast.UnaryOp):
            value = self.fold(_part(place, node.operand))
            if isinstance(node.op, ast.Not):
                return value if value is UNKNOWN else not value
            return -value if isinstance(node.op, ast.USub) and isinstance(value, (int, float)) else UNKNOWN
        if isinstance(node, (ast.Tuple, ast.List)):
            values = [self.fold(_part(place, e)) for e in node.elts]
            return UNKNOWN if UNKNOWN in values else tuple(values) if isinstance(node, ast.Tuple) else values
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = (self.fold(_part(place, n)) for n in (node.left, node.comparators[0]))
            if UNKNOWN in (left, right):
                return UNKNOWN
            equal = left is None and right is None or _same(left, right)
            return equal if isinstance(node.ops[0], (ast.Eq, ast.Is)) else not equal if isinstance(node.ops[0], (ast.NotEq, ast.IsNot)) else UNKNOWN
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords and node.func.id in ("int", "len", "max", "min", "sum"):
            values = [self.fold(_part(place, a)) for a in node.args]
            try:
                return UNKNOWN if UNKNOWN in values else {"int": int, "len": len, "max": max, "min": min, "sum": sum}[node.func.id](*values)
            except (TypeError, ValueError, OverflowError):
                return UNKNOWN
        if isinstance(node, ast.BoolOp):
            for value in (self.fold(_part(place, v)) for v in node.values):
                if value is UNKNOWN or bool(value) is isinstance(node.op, ast.Or):
                    return value
            return value
        on = self.step(place)
        return self.fold(on) if on is not None else UNKNOWN


# ── small questions about nodes ───────────────────────────────────────────────────────────────────────────────────────
def _literal(node: ast.AST) -> Constant:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.UnaryOp, ast.Tuple, ast.List, ast.Dict, ast.Set)):
        try:
            return ast.literal_eval(node)
        except UNREADABLE:
            return UNKNOWN
    if isinstance(node, ast.BinOp):
        left = _literal(node.left) if not isinstance(node.left, ast.BinOp) or _depth(node) < 60 else UNKNOWN
        return UNKNOWN if left is UNKNOWN else _compute(node.op, left, _literal(node.right))
    return UNKNOWN


def _depth(node: ast.AST) -> int:
    depth = 0
    while isinstance(node, ast.BinOp) and depth < 100:
        node, depth = node.left, depth + 1
    return depth


def _compute(op: ast.operator, left: Constant, right: Constant) -> Constant:
    if not all(isinstance(side, (int, float)) for side in (left, right)):
        if isinstance(op, ast.Add) and type(left) is type(right) and isinstance(left, (str, tuple, list)) and len(left) + len(right) < 10_000:
            return left + right
        return UNKNOWN
    try:
        if isinstance(op, ast.Pow):
            return left**right if abs(left) < 10_000 and abs(right) <= 64 else UNKNOWN
        if abs(left) > 1e30 or abs(right) > 1e30:
            return UNKNOWN
        if isinstance(op, ast.Add):
            return left + right
        if isinstance(op, ast.Sub):
            return left - right
        if isinstance(op, ast.Mult):
            return left * right
        if isinstance(op, ast.Div):
            return left / right
        if isinstance(op, ast.FloorDiv):
            return left // right
        return left % right if isinstance(op, ast.Mod) else UNKNOWN
    except (ArithmeticError, TypeError):
        return UNKNOWN


def _same(left: Constant, right: Constant) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left is not UNKNOWN and left == right)


def _holds(outer: Span, inner: Span) -> bool:
    if outer.file != inner.file or not outer.end_line:
        return False
    return (outer.line, outer.column) <= (inner.line, inner.column) and (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _is_super(call: ast.Call, method: str) -> bool:
    func = call.func
    return isinstance(func, ast.Attribute) and func.attr == method and isinstance(func.value, ast.Call) and _called(func.value) == "super"


def _self(function: Function) -> str:
    names = [*function.args.posonlyargs, *function.args.args]
    return names[0].arg if names else "self"


def _parameters(function: Function | ast.Lambda) -> list[str]:
    args = function.args
    return [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if a]


def _member(cls: ast.AST, name: str) -> Function | None:
    return next((n for n in getattr(cls, "body", ()) if isinstance(n, FUNCTIONS) and n.name == name), None)


def _fields(callee: ast.AST) -> list[str]:
    """The positional parameters of a def without `self`, or the fields of a dataclass or NamedTuple."""
    if isinstance(callee, ast.ClassDef):
        return [n.target.id for n in callee.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    if not isinstance(callee, FUNCTIONS):
        return []
    names = [a.arg for a in (*callee.args.posonlyargs, *callee.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def _default(callee: ast.AST, parameter: str) -> ast.AST | None:
    if isinstance(callee, ast.ClassDef):
        fields = [n for n in callee.body if isinstance(n, ast.AnnAssign) and dotted(n.target) == parameter]
        return _field_default(fields[0].value) if fields and fields[0].value else None
    if not isinstance(callee, FUNCTIONS):
        return None
    args = callee.args
    positional = [*args.posonlyargs, *args.args]
    pairs = [*zip(reversed(positional), reversed(args.defaults)), *zip(args.kwonlyargs, args.kw_defaults)]
    return next((given for arg, given in pairs if arg.arg == parameter and given), None)


def _field_default(node: ast.AST) -> ast.AST:
    """Inside of `field(default=...)`."""
    if isinstance(node, ast.Call) and _called(node) == "field":
        return next((k.value for k in node.keywords if k.arg == "default"), node)
    return node


def _destination(call: ast.Call) -> str:
    for keyword in call.keywords:
        if keyword.arg == "dest" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    names = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    long = next((n for n in names if n.startswith("--")), names[0] if names else "")
    return long.lstrip("-").replace("-", "_")
