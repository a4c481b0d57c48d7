"""Tool calls that are written as calls in Python: ``[find(first="Ann"), find(last="Lee")]``."""

import ast
import json
import re
from collections.abc import Collection
from typing import Any

from spec_envs.agents.llm.messages import ToolRequest

_ESCAPE = r"""\\(?:[\\'"abfnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})"""
_PART = (
    rf"""[^\W\d]\w*+|-?\d++(?:\.\d++)?(?:[eE][-+]?\d++)?(?![\w.])|"(?:[^"\\\n]|{_ESCAPE})*+"|'(?:[^'\\\n]|{_ESCAPE})*+'|"""
    r"[()\[\]{},=:;]|\s++"
)
#: Text made of the parts of calls only, so that Python's parser reads it without a warning.
_PARTS = re.compile(rf"(?:{_PART})*+")
#: Constants that have another name in JSON than in Python.
_CONSTANTS = {"true": True, "false": False, "null": None}


def python_calls(text: str, known: Collection[str]) -> list[ToolRequest]:
    """Return the calls of ``known`` tools in ``text``: one, or a list, or one on each line; else none."""
    text = text.strip()
    if not text.endswith((")", "]", ");")) or not any(name in text for name in known):
        return []
    if not _PARTS.fullmatch(text):
        return []
    try:
        return [_request(each, known) for each in _calls(ast.parse(text))]
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        return []


def _calls(module: ast.Module) -> list[ast.expr]:
    found: list[ast.expr] = []
    for statement in module.body:
        if not isinstance(statement, ast.Expr):
            raise ValueError("a statement is no call")
        value = statement.value
        found += value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    return found


def _request(call: ast.expr, known: Collection[str]) -> ToolRequest:
    if not isinstance(call, ast.Call):
        raise ValueError("an expression is no call")
    if isinstance(call.func, ast.Name) and call.func.id == "print" and len(call.args) == 1 and "print" not in known:
        return _request(call.args[0], known)
    if not isinstance(call.func, ast.Name) or call.func.id not in known or call.args:
        raise ValueError("it calls no tool, or it has arguments without a name")
    arguments = {str(each.arg): _literal(each.value) for each in call.keywords if each.arg is not None}
    if len(arguments) < len(call.keywords):
        raise ValueError("an argument has no name, or is there twice")
    return ToolRequest(call.func.id, json.dumps(arguments, ensure_ascii=False, allow_nan=False))


def _literal(value: ast.expr) -> Any:
    if isinstance(value, ast.Name) and value.id in _CONSTANTS:
        return _CONSTANTS[value.id]
    if isinstance(value, ast.List | ast.Tuple):
        return [_literal(each) for each in value.elts]
    if isinstance(value, ast.Dict):
        if any(not isinstance(key, ast.Constant) or not isinstance(key.value, str) for key in value.keys):
            raise ValueError("a key is no text")
        keys = [key.value for key in value.keys if isinstance(key, ast.Constant)]
        return dict(zip(keys, map(_literal, value.values), strict=True))
    return ast.literal_eval(value)
