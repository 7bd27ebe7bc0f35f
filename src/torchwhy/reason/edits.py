"""Builders of edits that leave formatting and comments alone.

Every builder answers the edits, or an empty tuple where the text does not show one way to make them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..model import Edit, Span
from .places import Place
from .source import SourceFile, Sources, first_line
from .walk import Walk

Edits = tuple[Edit, ...]

ATOMS = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Call,
    ast.List,
    ast.Dict,
    ast.Set,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.JoinedStr,
)
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}


def replace_text(span: Span, text: str) -> Edits:
    """The text of the span becomes this."""
    return (Edit(span, text),) if span.end_line else ()


def set_value(sources: Sources, span: Span, text: str) -> Edits:
    """Another expression in the place of the one at the span (a literal, an argument, the right side of an assignment)."""
    return (Edit(span, text),) if isinstance(sources.node_at(span), ast.expr) and span.end_line else ()


def set_value_at(source: SourceFile, node: ast.expr, text: str) -> Edits:
    """Another expression in the place of this one."""
    return (Edit(source.span(node), text),)


def replace_argument(sources: Sources, call: Span, parameter: str, text: str, signature: Sequence[str] = ()) -> Edits:
    """Another expression for a parameter that the call passes, at the place where it is written (also in a `**settings` literal)."""
    place = Walk(sources).argument((call,), parameter, signature)
    return (Edit(place.source.span(place.node), text),) if place and place.kind != "default" else ()


def set_keyword(sources: Sources, call: Span, parameter: str, text: str, signature: Sequence[str] = ()) -> Edits:
    """`parameter=text` in the call: replaced where it is passed, else added as the last argument."""
    source, node = sources.file(call.file), sources.call_at(call)
    if source is None or node is None:
        return ()
    passed = Walk(sources).passed(Place(source, node, (call,)), parameter, _position(sources, node, call, parameter, signature))
    if passed is not None:
        return (Edit(passed.source.span(passed.node), text),) if passed.node is not node else ()
    return _add_argument(source, node, f"{parameter}={text}")


def _position(sources: Sources, node: ast.Call, call: Span, parameter: str, signature: Sequence[str]) -> int | None:
    if signature:
        return list(signature).index(parameter) if parameter in signature else None
    place = Walk(sources).argument((call,), parameter)
    return next((i for i, a in enumerate(node.args) if place and a is place.node), None)


def _add_argument(source: SourceFile, node: ast.Call, text: str) -> Edits:
    _, _, end_line, end_column = source.position(node)
    passed = sorted([*node.args, *(k.value for k in node.keywords)], key=lambda n: source.position(n)[:2])
    if not passed:
        return (_insert(source, end_line, end_column - 1, text),)
    if len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp) and not node.keywords:
        start = source.position(node.args[0])
        if source.cut(*start).startswith("(") and start[2:] == (end_line, end_column):
            return (_insert(source, start[0], start[1], "("), _insert(source, end_line, end_column, f", {text})"))
    line, column = source.position(passed[-1])[2:]
    comma = _next_comma(source, (line, column), (end_line, end_column - 1))
    if comma is None:
        line, column = _closed(source, (line, column), (end_line, end_column - 1))
        return (_insert(source, line, column, f", {text}"),)
    row = source.lines[_argument_line(source, node, passed[-1]) - 1]
    if source.lines[comma[0] - 1][comma[1] :].split("#")[0].strip() or not row.strip():
        return (_insert(source, *comma, f" {text},"),)
    indent = row[: len(row) - len(row.lstrip())]
    return (_insert(source, comma[0] + 1, 0, f"{indent}{text},{_newline(source)}"),)


def _argument_line(source: SourceFile, node: ast.Call, value: ast.expr) -> int:
    """The line on which an argument begins, its keyword included."""
    return next((k.lineno for k in node.keywords if k.value is value), value.lineno)


def _next_comma(source: SourceFile, start: tuple[int, int], end: tuple[int, int]) -> tuple[int, int] | None:
    """Just behind the first comma between the places that is in no comment."""
    for line, column, char in _characters(source, start, end):
        if char == ",":
            return line, column + 1
    return None


def _closed(source: SourceFile, start: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    """Behind the parentheses that close after the last argument: `f((a))`."""
    at = start
    for line, column, char in _characters(source, start, end):
        if char == ")":
            at = (line, column + 1)
    return at


def _characters(source: SourceFile, start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int, str]]:
    found = []
    for line in range(start[0], end[0] + 1):
        text = source.lines[line - 1][: end[1] if line == end[0] else None]
        for column in range(start[1] if line == start[0] else 0, len(text)):
            if text[column] == "#":
                break
            found.append((line, column, text[column]))
    return found


def remove_keyword(sources: Sources, call: Span, parameter: str) -> Edits:
    """The call without `parameter=…`, and without the comma that goes with it."""
    source, node = sources.file(call.file), sources.call_at(call)
    keyword = next((k for k in node.keywords if k.arg == parameter), None) if node else None
    if source is None or node is None or keyword is None:
        return ()
    start = (keyword.lineno, source.column(keyword.lineno, keyword.col_offset))
    end = _closed_keyword(source, keyword)
    line = source.lines[start[0] - 1]
    code = line[: start[1]] + line[end[1] :].split("#")[0] if start[0] == end[0] else "several lines"
    if code.strip() in ("", ","):
        return (Edit(Span(source.file, start[0], 0, start[0], len(line), source.function_name(node)), ""),)  # it has its line to itself
    others = [a for a in (*node.args, *(k.value for k in node.keywords)) if a is not keyword.value]
    before = [source.position(a)[2:] for a in others if source.position(a)[2:] <= start]
    close = source.position(node)[2:]
    if before:
        start = _closed(source, max(before), start)
    else:
        comma = _next_comma(source, end, (close[0], close[1] - 1))
        end = comma or end
        if comma and source.lines[end[0] - 1][end[1] :].startswith(" ") and others:
            end = (end[0], end[1] + 1)
    return (Edit(Span(source.file, *start, *end, source.function_name(node)), ""),)


def _closed_keyword(source: SourceFile, keyword: ast.keyword) -> tuple[int, int]:
    line, offset = keyword.end_lineno or keyword.lineno, keyword.end_col_offset or 0
    return line, source.column(line, offset)


def wrap(sources: Sources, span: Span, before: str, after: str) -> Edits:
    """`before` and `after` around the expression, in parentheses where it binds more weakly than an attribute or a call would need.

    A function's parentheses in `before` (`int(`) are enough themselves.
    """
    source, node = sources.file(span.file), sources.node_at(span)
    if source is None or node is None or not span.end_line:
        return ()
    start, end = (span.line, span.column), (span.end_line, span.end_column)
    if not before.endswith("(") and not _is_atom(source, node):
        group = _group(source, node)
        if group:
            start, end = group
        else:
            before, after = f"{before}(", f"){after}"
    return tuple(_insert(source, *place, text) for place, text in ((start, before), (end, after)) if text)


def append_method(sources: Sources, span: Span, text: str) -> Edits:
    """`.detach()` behind the expression: `(a + b).detach()` where it needs the parentheses."""
    return wrap(sources, span, "", text)


def _is_atom(source: SourceFile, node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, (int, float, complex)) or isinstance(node.value, bool)
    if isinstance(node, (ast.Tuple, ast.GeneratorExp)):
        return source.segment(node).startswith("(") and source.segment(node).endswith(")") and not isinstance(node, ast.GeneratorExp)
    return isinstance(node, ATOMS)


def _group(source: SourceFile, node: ast.expr | ast.stmt) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The places before and behind the parentheses that group the expression (those of a call group nothing)."""
    line, column, end_line, end_column = source.position(node)
    left, right = source.lines[line - 1][:column].rstrip(), source.lines[end_line - 1][end_column:]
    if not left.endswith("(") or not right.lstrip().startswith(")"):
        return None
    start, parent = (line, len(left) - 1), source.parents.get(node)
    if isinstance(parent, (ast.Call, ast.keyword)):
        call = parent if isinstance(parent, ast.Call) else source.parents[parent]
        own = _characters(source, source.position(call.func)[2:], (line, column)) if isinstance(call, ast.Call) else []
        if next(((n, c) for n, c, char in own if char == "("), start) == start:
            return None
    elif not isinstance(
        parent, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.BinOp, ast.Attribute, ast.Subscript, ast.UnaryOp)
    ):
        return None
    return start, (end_line, end_column + len(right) - len(right.lstrip()) + 1)


def out_of_place(sources: Sources, span: Span) -> Edits:
    """The same without writing in place: `x += y`, a statement `x.relu_()`, `inplace=True`; for the statement or call at the span."""
    source, node = sources.file(span.file), sources.node_at(span) or sources.statement_at(span.file, span.line)
    if source is None or node is None:
        return ()
    if isinstance(node, ast.AugAssign):
        return _spelled_out(source, node)
    statement = source.statement(node)
    call = node.value if isinstance(node, (ast.Expr, ast.Assign, ast.AnnAssign, ast.Return)) else node
    if not isinstance(call, ast.Call):
        call = next((n for n in ast.walk(node) if isinstance(n, ast.Call) and _in_place_keyword(n)), None)
    if not isinstance(call, ast.Call):
        return ()
    if _in_place_keyword(call):
        bare = isinstance(statement, ast.Expr) and statement.value is call and len(call.args) == 1
        removed = remove_keyword(sources, source.span(call), "inplace")
        assigned = (_insert(source, *source.position(call)[:2], f"{source.segment(call.args[0])} = "),) if bare else ()
        return (*assigned, *removed)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if not name.endswith("_") or name.endswith("__") or not isinstance(call.func, ast.Attribute):
        return ()
    _, _, line, column = source.position(call.func)
    edits = [Edit(Span(source.file, line, column - 1, line, column, source.function_name(node)), "")]
    if isinstance(statement, ast.Expr) and statement.value is call:
        if not isinstance(call.func.value, (ast.Name, ast.Attribute, ast.Subscript)):
            return ()
        edits.insert(0, _insert(source, *source.position(call)[:2], f"{source.segment(call.func.value)} = "))
    return tuple(edits)


def _in_place_keyword(call: ast.Call) -> ast.keyword | None:
    return next((k for k in call.keywords if k.arg == "inplace" and isinstance(k.value, ast.Constant) and k.value.value is True), None)


def _spelled_out(source: SourceFile, node: ast.AugAssign) -> Edits:
    sign, target = OPERATORS[type(node.op)], source.segment(node.target)
    end = source.position(node.target)[2:]
    start = source.position(node.value)[:2]
    between = source.cut(*end, *start)
    if f"{sign}=" not in between:
        return ()
    edits = [Edit(Span(source.file, *end, *start, source.function_name(node)), between.replace(f"{sign}=", f"= {target} {sign}", 1))]
    if not (_is_atom(source, node.value) or isinstance(node.value, ast.Constant) or between.rstrip().endswith("(")):
        last = source.position(node.value)[2:]
        edits = [Edit(edits[0].span, edits[0].text + "("), _insert(source, *last, ")")]
    return tuple(edits)


# ── whole lines ───────────────────────────────────────────────────────────────────────────────────────────────────────
def delete_statement(sources: Sources, span: Span) -> Edits:
    """The statement at a span gone: its lines, or `pass` where it is the only one of its block."""
    source, statement = _statement(sources, span)
    if source is None or statement is None:
        return ()
    parent = source.parents.get(statement)
    blocks = [block for name in ("body", "orelse", "finalbody") if isinstance(block := getattr(parent, name, None), list)]
    if any(block == [statement] for block in blocks) and not isinstance(parent, ast.Module):
        return (Edit(source.span(statement), "pass"),)
    line, column, end_line, end_column = source.position(statement)
    line = first_line(statement)
    before, after = source.lines[line - 1][:column], source.lines[end_line - 1][end_column:]
    if before.strip() or after.strip() and not after.lstrip().startswith("#"):
        return (Edit(source.span(statement), "pass"),)  # it shares its line with others
    return (Edit(Span(source.file, line, 0, end_line, len(source.lines[end_line - 1]), source.function_name(statement)), ""),)


def insert_before(sources: Sources, file: str, line: int, text: str) -> Edits:
    """Lines before the statement at a line, indented as it is."""
    return _insert_lines(sources, file, line, text, after=False)


def insert_after(sources: Sources, file: str, line: int, text: str) -> Edits:
    """Lines after the statement at a line (all of it), indented as it is."""
    return _insert_lines(sources, file, line, text, after=True)


def _insert_lines(sources: Sources, file: str, line: int, text: str, after: bool) -> Edits:
    source, statement = sources.file(file), sources.statement_at(file, line)
    if source is None or statement is None:
        return ()
    first, column = first_line(statement), source.position(statement)[1]
    indent, newline = source.lines[statement.lineno - 1][:column], _newline(source)
    if indent.strip():
        return ()
    new = "".join(f"{indent}{row}{newline}" for row in text.splitlines())
    if not after:
        return (_insert(source, first, 0, new),)
    end = statement.end_lineno or statement.lineno
    if source.lines[end - 1].endswith(("\n", "\r")):
        return (_insert(source, end + 1, 0, new),)
    return (_insert(source, end, len(source.lines[end - 1]), newline + new[: -len(newline)]),)


def wrap_with(sources: Sources, span: Span, header: str, through: Span | None = None) -> Edits:
    """The statement at a span (and those up to `through`) inside of `with torch.no_grad():` (or another header line)."""
    source, statement = _statement(sources, span)
    if source is None or statement is None:
        return ()
    column = source.position(statement)[1]
    indent = source.lines[statement.lineno - 1][:column]
    first, last = first_line(statement), through.end_line if through is not None else statement.end_lineno or statement.lineno
    if indent.strip():
        return ()
    inside = _inside_strings(source, statement)
    edits = [_insert(source, first, 0, f"{indent}{header}{_newline(source)}")]
    step = "\t" if indent.startswith("\t") else "    "
    edits += [_insert(source, n, 0, step) for n in range(first, last + 1) if n not in inside and source.lines[n - 1].strip()]
    return (Edit(edits[0].span, edits[0].text + edits[1].text), *edits[2:])


def _inside_strings(source: SourceFile, statement: ast.AST) -> set[int]:
    strings = [n for n in ast.walk(statement) if isinstance(n, (ast.JoinedStr, ast.Constant)) and n.end_lineno != n.lineno]
    return {line for n in strings for line in range(n.lineno + 1, (n.end_lineno or n.lineno) + 1)}


def add_import(sources: Sources, file: str, text: str) -> Edits:
    """`import torch` at the top of the file, after the docstring and `from __future__`, unless the file has it."""
    source = sources.file(file)
    if source is None or source.tree is None or any(source.segment(n) == text for n in source.tree.body):
        return ()
    body = source.tree.body
    after = 0
    for node in body:
        is_docstring = node is body[0] and ast.get_docstring(source.tree, clean=False) is not None
        if not is_docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        after = node.end_lineno or node.lineno
    first = next((n for n in body if first_line(n) > after), None)
    line = first_line(first) if first and isinstance(first, (ast.Import, ast.ImportFrom)) else after + 1
    if line == 1 and source.lines and source.lines[0].startswith("#!"):
        line = 2
    ended = line == 1 or source.lines[line - 2].endswith(("\n", "\r"))
    return (_insert(source, line, 0, f"{'' if ended else _newline(source)}{text}{_newline(source)}"),)


def add_decorator(sources: Sources, file: str, line: int, text: str) -> Edits:
    """A decorator line (`@torch.no_grad()`) above the function that has this line."""
    source, statement = sources.file(file), sources.statement_at(file, line)
    function = statement if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) else sources.function_at(file, line)
    if source is None or function is None:
        return ()
    indent = source.lines[function.lineno - 1][: source.position(function)[1]]
    return (_insert(source, function.lineno, 0, f"{indent}{text}{_newline(source)}"),) if not indent.strip() else ()


def _statement(sources: Sources, span: Span) -> tuple[SourceFile | None, ast.stmt | None]:
    source = sources.file(span.file)
    node = sources.node_at(span)
    return source, (source.statement(node) if source and node else None) or sources.statement_at(span.file, span.line)


def _insert(source: SourceFile, line: int, column: int, text: str) -> Edit:
    return Edit(Span(source.file, line, column, line, column), text)


def _newline(source: SourceFile) -> str:
    return "\r\n" if source.lines and source.lines[0].endswith("\r\n") else "\n"
