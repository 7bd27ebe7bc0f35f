"""Programs with one fault each, made from healthy ones: every mutator changes one place of the text, found by the syntax tree."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_DIMENSIONS = ("transpose", "permute", "unsqueeze", "squeeze", "flatten", "size", "argmax", "softmax", "sum", "mean", "max", "cat", "stack")
_DIMENSIONS += ("split", "gather", "index_add")
_SWAPPED = ("Linear", "Conv2d", "ConvTranspose2d", "Embedding", "GRU", "LSTM", "view", "permute", "zeros", "ones", "randn", "full", "rand")
_SWAPPED += ("double_conv", "Block", "MessageLayer", "Generator", "QNetwork", "Encoder", "Decoder", "gather", "matmul", "bmm")
_DROPPED = ("to", "float", "long", "flatten", "unsqueeze", "squeeze", "view", "contiguous", "transpose", "permute", "mean", "reshape")
_DROPPED += ("detach", "softmax", "sum", "cpu", "zero_grad", "sqrt", "gather", "max")
_OPTIONS = ("dim", "dtype", "batch_first", "padding", "stride", "bidirectional", "keepdim", "reduction", "num_layers", "padding_idx")
_OPTIONS += ("indexing", "collate_fn", "start_dim")
_NO_SIZES = ("manual_seed", "default_rng", "Random", "seed", "range", "randrange", "print", "round")
_INPLACE = (
    "relu",
    "sigmoid",
    "tanh",
    "exp",
    "clamp",
    "pow",
    "masked_fill",
    "index_add",
    "transpose",
    "unsqueeze",
    "squeeze",
    "mul",
)
_LAYERS_INPLACE = ("ReLU", "LeakyReLU", "GELU", "Dropout", "SiLU")
_CASTS = {"float": ("double", "half", "long"), "long": ("float", "int", "bool")}
_DTYPES = {"float32": ("float64", "long", "float16"), "long": ("float32", "int32", "int16"), "int64": ("float32", "int32")}
_MAKES = ("rand", "randn", "zeros", "ones", "arange", "randint")


@dataclass(frozen=True)
class Mutant:
    """One file of a program with one fault on one line."""

    program: str
    file: str
    line: int
    mutator: str
    change: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.program} {self.file}:{self.line} {self.mutator}: {self.change}"


@dataclass(frozen=True)
class _Change:
    """The text of `node` (or what lies between two offsets) becomes another."""

    start: int
    end: int
    text: str


class _Text:
    """A file's text and tree."""

    def __init__(self, text: str) -> None:
        assert text.isascii()
        self.text = text
        self.tree = ast.parse(text)
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def start(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def of(self, node: ast.AST) -> str:
        return self.text[self.start(node) : self.end(node)]

    def line(self, offset: int) -> int:
        return sum(start <= offset for start in self.starts[:-1])

    def replaced(self, node: ast.AST, text: str) -> _Change:
        return _Change(self.start(node), self.end(node), text)

    def grouped(self, node: ast.AST) -> str:
        """Its text, in parentheses where a method could not be called on it."""
        return self.of(node) if isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)) else f"({self.of(node)})"

    def after(self, node: ast.AST, text: str) -> _Change:
        """A method called on it."""
        return self.replaced(node, self.grouped(node) + text)

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and not self._is_said(node):
                yield node, called(node)

    def _is_said(self, node: ast.AST) -> bool:
        """Whether it only stands in what is printed."""
        at: ast.AST | None = node
        while at is not None and not isinstance(at, ast.stmt):
            if isinstance(at, ast.Call) and called(at) == "print":
                return True
            at = self.parents.get(at)
        return False


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


# ── the mutators ──────────────────────────────────────────────────────────────────────────────────────────────────────
def literals(text: _Text) -> Iterator[_Change]:
    """A width, a kernel, a number of classes: one more, one less, twice, half."""
    for node in ast.walk(text.tree):
        parent = text.parents.get(node)
        if not isinstance(node, ast.Constant) or type(node.value) is not int or isinstance(parent, (ast.Subscript, ast.Slice, ast.Compare)):
            continue
        calls = []
        at: ast.AST | None = node
        while at is not None and not isinstance(at, ast.stmt):
            calls += [called(at)] if isinstance(at, ast.Call) else []
            at = text.parents.get(at)
        nearest = calls[0] if calls else ""
        dim = isinstance(parent, ast.keyword) and parent.arg in ("dim", "start_dim", "seed", "epochs")
        if any(name in _NO_SIZES for name in calls) or nearest in _DIMENSIONS or dim or isinstance(parent, ast.UnaryOp):
            continue
        for value in {node.value + 1, node.value - 1, node.value * 2, node.value // 2} - {node.value, 0}:
            if value > 0:
                yield text.replaced(node, str(value))


def dimensions(text: _Text) -> Iterator[_Change]:
    """Another dimension: in `dim=`, `transpose`, `flatten`, `size` and `shape[…]`."""
    for call, name in text.calls():
        given = [k.value for k in call.keywords if k.arg in ("dim", "start_dim")]
        given += [a for a in call.args if name in _DIMENSIONS] if name in _DIMENSIONS else []
        for node in given:
            if (value := _number(node)) is not None and -3 <= value <= 3:
                yield from (text.replaced(node, str(other)) for other in (0, 1, 2, -1) if other != value)
    for node in ast.walk(text.tree):
        if isinstance(node, ast.Subscript) and (value := _number(node.slice)) is not None and -3 <= value <= 3:
            yield from (text.replaced(node.slice, str(other)) for other in (0, 1) if other != value)


def swaps(text: _Text) -> Iterator[_Change]:
    """Two neighbouring arguments in each other's place."""
    for call, name in text.calls():
        if name in _SWAPPED:
            for one, other in zip(call.args, call.args[1:]):
                if text.of(one) != text.of(other):
                    yield _Change(text.start(one), text.end(other), f"{text.of(other)}, {text.of(one)}")
    for node in ast.walk(text.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield text.replaced(node, f"{text.of(node.right)} @ {text.of(node.left)}")


def drops(text: _Text) -> Iterator[_Change]:
    """A conversion or an option left out."""
    for call, name in text.calls():
        if name in _DROPPED and isinstance(call.func, ast.Attribute) and text.of(call.func.value) not in ("F", "torch", "nn"):
            yield text.replaced(call, text.grouped(call.func.value))
        for option in call.keywords:
            if option.arg in _OPTIONS:
                before = max(
                    (text.end(a) for a in (*call.args, *(k for k in call.keywords)) if text.end(a) < text.start(option)), default=0
                )
                if before:
                    yield _Change(before, text.end(option), "")


def cuts(text: _Text) -> Iterator[_Change]:
    """The link to the graph cut: `.detach()`, `.data`, `no_grad`, and at a loss `.item()` and `torch.tensor(…)`."""
    for node in ast.walk(text.tree):
        value = node.value if isinstance(node, (ast.Assign, ast.Return, ast.AugAssign)) else None
        if value is None or not any(isinstance(n, (ast.Call, ast.BinOp)) for n in ast.walk(value)) or not _may_be_tensor(value):
            continue
        yield text.after(value, ".detach()")
        yield text.after(value, ".data")
        if _is_loss(text, node, value):
            yield text.after(value, ".item()")
            yield text.replaced(value, f"torch.tensor({text.of(value)})")
        if not isinstance(node, ast.Return):
            indent = " " * node.col_offset
            yield text.replaced(node, f"with torch.no_grad():\n{indent}    {text.of(node)}")


def _may_be_tensor(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return called(value)[:1].islower() and called(value) not in ("len", "list", "zip", "sum", "split", "field", "main")
    return not isinstance(value, (ast.Tuple, ast.List, ast.Dict, ast.ListComp, ast.DictComp, ast.Constant))


def _is_loss(text: _Text, node: ast.AST, value: ast.AST) -> bool:
    target = text.of(node.targets[0]) if isinstance(node, ast.Assign) else ""
    return "loss" in target or isinstance(value, ast.Call) and called(value) in ("mean", "criterion", "cross_entropy", "smooth_l1_loss")


def writes(text: _Text) -> Iterator[_Change]:
    """In place what was not."""
    for node in ast.walk(text.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and len(node.targets) == 1:
            sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}.get(type(node.value.op))
            if sign and text.of(node.targets[0]) == text.of(node.value.left):
                yield text.replaced(node, f"{text.of(node.targets[0])} {sign}= {text.of(node.value.right)}")
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult, ast.Sub)) and not isinstance(node.left, ast.Constant):
            method = {ast.Add: "add_", ast.Mult: "mul_", ast.Sub: "sub_"}[type(node.op)]
            yield text.replaced(node, f"{text.grouped(node.left)}.{method}({text.of(node.right)})")
    for call, name in text.calls():
        if name in _INPLACE and isinstance(call.func, ast.Attribute):
            if text.of(call.func.value) in ("torch", "F") and call.args:
                rest = ", ".join(text.of(a) for a in call.args[1:])
                yield text.replaced(call, f"{text.grouped(call.args[0])}.{name}_({rest})")
            else:
                yield text.replaced(call.func, f"{text.of(call.func)}_")
        if name in _LAYERS_INPLACE and not any(k.arg == "inplace" for k in call.keywords):
            inside = ", ".join([*(text.of(a) for a in call.args), "inplace=True"])
            yield text.replaced(call, f"{text.of(call.func)}({inside})")


def dtypes(text: _Text) -> Iterator[_Change]:
    """Another dtype, in a cast, in `dtype=`, or where a tensor is made."""
    for node in ast.walk(text.tree):
        if isinstance(node, ast.Attribute) and node.attr in _DTYPES and text.of(node.value) in ("torch", "np"):
            yield from (text.replaced(node, f"{text.of(node.value)}.{other}") for other in _DTYPES[node.attr])
    for call, name in text.calls():
        if isinstance(call.func, ast.Attribute) and name in _CASTS and not call.args:
            yield from (text.replaced(call, f"{text.grouped(call.func.value)}.{other}()") for other in _CASTS[name])
        if name in _MAKES and text.of(call.func).startswith("torch.") and not any(k.arg == "dtype" for k in call.keywords):
            dtype = "torch.int32" if name in ("arange", "randint") else "torch.float64"
            yield text.replaced(call, f"{text.of(call)[:-1]}, dtype={dtype})")
        if text.of(call.func) in ("model", "generator", "discriminator", "encoder", "online") or name in ("relu", "tanh", "sigmoid", "exp"):
            yield text.after(call, ".double()")


def _number(node: ast.AST) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value if type(node.operand.value) is int else None
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


MUTATORS: dict[str, Callable[[_Text], Iterator[_Change]]] = {
    "literal": literals,
    "dimension": dimensions,
    "swapped": swaps,
    "dropped": drops,
    "cut": cuts,
    "in-place": writes,
    "dtype": dtypes,
}


# ── all mutants of a program ──────────────────────────────────────────────────────────────────────────────────────────
def mutants(program: str, files: dict[str, str], seed: int) -> dict[str, list[Mutant]]:
    """Every mutant by mutator, in an order that the seed gives; the first of each line come before the second of any."""
    return {mutator: _spread(list(_made(program, files, mutator)), random.Random(f"{seed} {program} {mutator}")) for mutator in MUTATORS}


def _made(program: str, files: dict[str, str], mutator: str) -> Iterator[Mutant]:
    seen: set[tuple[str, str]] = set()
    for file, content in files.items():
        text = _Text(content)
        for change in MUTATORS[mutator](text):
            new = content[: change.start] + change.text + content[change.end :]
            line = text.line(_first_difference(content, new))
            if new != content and (file, new) not in seen:
                seen.add((file, new))
                yield Mutant(program, file, line, mutator, new.splitlines()[line - 1].strip(), new)


def _first_difference(old: str, new: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))


def _spread(found: list[Mutant], chance: random.Random) -> list[Mutant]:
    chance.shuffle(found)
    rounds: dict[tuple[str, int], int] = {}
    order = []
    for mutant in found:
        at = (mutant.file, mutant.line)
        rounds[at] = rounds.get(at, 0) + 1
        order.append(rounds[at])
    return [mutant for _, mutant in sorted(zip(order, found), key=lambda pair: pair[0])]


def programs(folder: Path) -> dict[str, dict[str, str]]:
    """The healthy programs: a file, or a folder whose `main.py` is run; the script comes first."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py":
            found[path.stem] = {path.name: path.read_text()}
        elif (path / "main.py").exists():
            files = sorted(path.glob("*.py"), key=lambda p: (p.name != "main.py", p.name))
            found[path.name] = {p.name: p.read_text() for p in files}
    return found
