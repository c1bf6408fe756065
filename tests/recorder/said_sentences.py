"""Every sentence that a module's errors may say, read from its source."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from khupho.errors import KhuphoError

_TABLES = ("_ADVICE", "_REFUSALS")


def sentences(module_name: str) -> set[str]:
    """What and advice of the errors of a module, `{}` standing for what varies."""
    module = importlib.import_module(module_name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    found: set[str] = set()
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(scope):
                if isinstance(node, ast.Call) and _makes_error(node, module):
                    for argument in _said(node):
                        found |= set(_templates(argument, scope))
    for name in _TABLES:
        for what in getattr(module, name, {}).values():
            found |= set(what)
    return {text for text in found if text.strip("{} ")}


def _makes_error(node: ast.Call, module: object) -> bool:
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr == "__init__":
        return isinstance(function.value, ast.Call) and ast.unparse(function.value) == "super()"
    if not isinstance(function, ast.Name | ast.Attribute):
        return False
    made: object = module
    for name in ast.unparse(function).split("."):
        made = getattr(made, name, None)
    return isinstance(made, type) and issubclass(made, KhuphoError)


def _said(node: ast.Call) -> Iterator[ast.expr]:
    yield from node.args[:1]
    yield from (word.value for word in node.keywords if word.arg == "advice")


def _templates(node: ast.expr, scope: ast.AST) -> list[str]:
    match node:
        case ast.Constant(value=str() as text):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(p.value if isinstance(p, ast.Constant) else "{}" for p in parts)]
        case ast.IfExp(body=body, orelse=other):
            return _templates(body, scope) + _templates(other, scope)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a in _templates(left, scope) for b in _templates(right, scope)]
        case ast.Name(id=name):
            return [text for value in _assigned(name, scope) for text in _templates(value, scope)]
    return []


def _assigned(name: str, scope: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(scope):
        if not isinstance(node, ast.Assign):
            continue
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id == name:
            yield node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            for part, value in zip(target.elts, node.value.elts, strict=False):
                if isinstance(part, ast.Name) and part.id == name:
                    yield value
