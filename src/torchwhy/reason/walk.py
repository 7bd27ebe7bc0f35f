"""The steps of the walk: from a name, an attribute, an entry or a call on to what gives it its value."""

from __future__ import annotations

import ast
from dataclasses import replace

from ..model import Plain, Span
from .constants import UNKNOWN, Constant, literal, same
from .passing import Passing
from .places import Kind, Place, part
from .scopes import Binding, Found, Step, bindings, dotted, exported, imported, module_file, reaching, scope_of
from .signatures import called, destination, field_default, parameters, receiver
from .source import FUNCTIONS, SourceFile


class Walk(Passing):
    """One question to the text."""

    def next_place(self, place: Place) -> Place | None:
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
            return part(place, node.operand, -place.value if isinstance(place.value, (int, float)) else None)
        if isinstance(node, (ast.BinOp, ast.AugAssign)):
            sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
            open_ = [side for side in sides if literal(side) is UNKNOWN]
            return part(place, open_[0]) if len(open_) == 1 else None
        if isinstance(node, ast.IfExp):
            test = self.fold(replace(place, node=node.test))
            if test is not UNKNOWN:
                return part(place, node.body if test else node.orelse, place.value)
            return self.choose([part(place, branch, place.value) for branch in (node.body, node.orelse)], place.value)
        if isinstance(node, ast.BoolOp):
            return self.choose([part(place, v, place.value) for v in node.values], place.value)
        return None

    # ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def name(self, place: Place, text: str = "") -> list[Place]:
        """The places that may give a name its value where it is used."""
        name = text or place.node.id  # type: ignore[attr-defined]
        scope, found = scope_of(place.source, place.node), list[Place]()
        while scope is not None:
            reached, is_open = reaching(place.source, name, place.node, scope)
            found += [p for b in reached for p in self.bound(place, b)]
            if isinstance(scope, (*FUNCTIONS, ast.Lambda)) and is_open and name in parameters(scope):
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
            if sequence is None or not isinstance(i, int) or not -len(elements) <= i < len(elements):
                return place
            if any(isinstance(e, ast.Starred) for e in elements):
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

    # ── attributes, entries, calls ────────────────────────────────────────────────────────────────────────────────────
    def attribute(self, place: Place) -> list[Place]:
        node = place.node
        assert isinstance(node, ast.Attribute)
        name = dotted(node)
        set_here = [replace(p, kind="attribute") for p in self.name(place, name)] if name else []
        if set_here:
            return set_here
        in_module = self.submodule(place, node) if isinstance(node.value, ast.Attribute) else []
        if in_module:
            return in_module
        function = place.source.function(node)
        cls = place.source.class_of(function) if function else None
        if isinstance(node.value, ast.Name) and function and cls and node.value.id == receiver(function):
            return self.member(replace(place, node=cls), node.attr, inside=True)
        base: Place | None = replace(place, node=node.value, value=None)
        for _ in range(20):
            base = self.seek(base, ast.Module, ast.ClassDef, ast.Call) if base else None
            if base is None:
                return []
            if isinstance(base.node, ast.Module):
                at = replace(base, value=place.value)
                return [p for f in exported(self.sources, base.source, node.attr) for p in self.found(at, f, node.attr)]
            if isinstance(base.node, ast.ClassDef):
                return self.member(replace(base, value=place.value), node.attr, inside=True)
            assert isinstance(base.node, ast.Call)
            made = self.seek(replace(base, node=base.node.func), ast.ClassDef)
            if made is not None:
                return self.member(replace(made, calls=self.enter(base), value=place.value), node.attr)
            name = called(base.node)
            if name in ("parse_args", "parse_known_args"):
                return self.option(replace(base, value=place.value), node.attr)
            if name in ("eval", "train", "to", "cuda", "cpu", "double", "float", "half") and isinstance(base.node.func, ast.Attribute):
                base = replace(base, node=base.node.func.value)
                continue
            entries = self.entries(base)
            if entries is not None:
                return [replace(entries[node.attr], kind="config", name=node.attr, value=place.value)] if node.attr in entries else []
            base = self.step(base)
        return []

    def submodule(self, place: Place, node: ast.Attribute) -> list[Place]:
        """The file behind `package.module` in `package.module.NAME`, after an `import package.module`."""
        wanted = dotted(node.value)
        if not any(isinstance(n, ast.Import) and any(a.name == wanted and not a.asname for a in n.names) for n in place.source.imports):
            return []
        file = module_file(self.sources, place.source, wanted or "")
        return [p for f in (exported(self.sources, file, node.attr) if file else ()) for p in self.found(place, f, node.attr)]

    def member(self, place: Place, name: str, inside: bool = False) -> list[Place]:
        """What gives an attribute of a class's instances its value; `inside`: the instance is not known by its constructor call."""
        for at in self.classes(place):
            cls = at.node
            methods = [n for n in cls.body if isinstance(n, FUNCTIONS)]  # type: ignore[attr-defined]
            init = [m for m in methods if m.name == "__init__"]
            for group in (init, [m for m in methods if m not in init]):
                every = [(m, b) for m in group for b in reaching(at.source, f"{receiver(m)}.{name}", cls, m)[0] if b.kind != "augmented"]
                if every:
                    found = []
                    for method, binding in every:
                        calls = place.calls
                        if inside and not any(self.function_of(c) is method for c in calls):
                            calls = self.built(at.source, cls, place.value)  # type: ignore[arg-type]
                        found += self.bound(replace(at, calls=calls, value=place.value), binding, "attribute")
                    return found
            if not inside and any(isinstance(n, ast.AnnAssign) and dotted(n.target) == name for n in cls.body):  # type: ignore[attr-defined]
                field = self.argument(place.calls, name, (), self.constructor(place))
                if field is not None:
                    return [replace(field, value=place.value, kind="config", name=name)]
            level = [b for b in bindings(at.source).get(cls, ()) if b.name == name]
            if level:
                found = [p for b in level for p in self.bound(replace(at, calls=place.calls, value=place.value), b, "attribute")]
                return [replace(p, node=field_default(p.node)) for p in found]
        return []

    def built(self, source: SourceFile, cls: ast.ClassDef, value: Constant) -> tuple[Span, ...]:
        """The calls that constructed a class's one instance: as recorded, else the only one in the text."""
        made = [
            m
            for m in self.sources.evidence.modules
            if m.kind == cls.name and m.built and (m.defined is None or m.defined.file == source.file)
        ]
        if len({m.built for m in made}) > 1:
            made = [m for m in made if any(isinstance(s.value, Plain) and same(s.value.value, value) for s in m.settings)]
        return made[0].built if len({m.built for m in made}) == 1 else self.only_call(cls.name)

    def option(self, place: Place, name: str) -> list[Place]:
        """The `add_argument` call that defines a command line option, or its default where that is the value."""
        files = [place.source, *(f for f in self.sources.files() if f is not place.source)]
        for source in files:
            calls = [n for n in source.nodes if isinstance(n, ast.Call) and called(n) == "add_argument" and destination(n) == name]
            if calls:
                at = replace(place, source=source, node=calls[0], kind="argparse", name=name)
                given = next((k.value for k in calls[0].keywords if k.arg == "default"), None)
                if len(calls) > 1 or given is None:
                    return [at] if len(calls) == 1 else []
                constant = self.fold(replace(at, node=given))
                passed = place.value is not None and constant is not UNKNOWN and not same(constant, place.value)
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
            every: dict[Constant, Place] = {i: replace(sequence, node=e) for i, e in enumerate(sequence.node.elts)}
            if any(isinstance(p.node, ast.Starred) for p in every.values()):
                return None
            key = key + len(every) if isinstance(key, int) and key < 0 else key
        else:
            every = self.entries(container) or {}
        if key is UNKNOWN:
            chosen = self.choose(list(every.values()), value) if value is not None else None
        else:
            chosen = every.get(key) if isinstance(key, (str, int, float)) else None
        return replace(chosen, kind="config", value=value, name=str(key) if key is not UNKNOWN else "") if chosen else None

    def call(self, place: Place) -> Place | None:
        node = place.node
        assert isinstance(node, ast.Call)
        name, args = called(node), node.args
        if isinstance(node.func, ast.Name) and name in ("int", "float", "round", "abs", "str", "deepcopy") and len(args) == 1:
            return part(place, args[0], place.value if name in ("int", "deepcopy") else None)
        if isinstance(node.func, ast.Name) and name == "len" and len(args) == 1:
            counted = part(place, args[0])
            return (self.step(counted) if isinstance(args[0], (ast.Name, ast.Attribute, ast.Subscript)) else None) or counted
        if isinstance(node.func, ast.Name) and name in ("max", "min") and len(args) > 1:
            return self.choose([part(place, a, place.value) for a in args], place.value) if place.value is not None else None
        if isinstance(node.func, ast.Attribute) and name == "get" and args:
            key = self.fold(replace(place, node=args[0]))
            entries = self.entries(replace(place, node=node.func.value)) if key is not UNKNOWN else None
            if key is UNKNOWN and len(args) > 1 and place.value is not None:  # the value seen at run time tells which entry it was
                every = self.entries(replace(place, node=node.func.value)) or {}
                chosen = self.choose([*every.values(), replace(place, node=args[1])], place.value)
                return replace(chosen, kind="config", value=place.value) if chosen is not None else None
            if entries is None:
                return None
            if isinstance(key, (str, int)) and key in entries:
                return replace(entries[key], kind="config", name=str(key), value=place.value)
            return replace(place, node=args[1], kind="default") if len(args) > 1 else None
        if isinstance(node.func, ast.Attribute) and name in ("copy", "deepcopy") and len(args) < 2:
            return part(place, args[0] if args else node.func.value, place.value)
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
