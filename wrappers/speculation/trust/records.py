"""Whether an attribute of a policy is only a record, such as a count of calls: written where it is called, never read.

Only the source of its classes is read. Code that hands the policy itself to others, or has no source, may read all.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator

from spec_envs.wrappers.speculation.trust.outside import is_foreign

_Function = ast.FunctionDef | ast.AsyncFunctionDef
#: Methods that nobody calls when a policy decides.
_NOT_CALLED = frozenset({"__init__", "__repr__", "__str__"})
#: Methods of containers that write; what they return is thrown away where they stand as a statement.
_WRITES = frozenset({"add", "append", "appendleft", "extend", "update"})


def is_only_recorded(kind: type, method: str, name: str) -> bool:
    """Whether instances of ``kind`` never read their attribute ``name`` when ``method`` is called."""
    try:
        functions = [each for base in kind.__mro__ if not is_foreign(base) for each in _functions_of(base)]
    except (OSError, TypeError, ValueError, SyntaxError):  # there is no source
        return False
    called = {method}
    while True:
        reached = [each for each in functions if each.name in called or _is_special(each.name)]
        more = {used for each in reached for used in _names_in(each)} - called
        if not more:
            return bool(reached) and all(_only_writes(each, name) for each in reached)
        called |= more


def _functions_of(kind: type) -> list[_Function]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    return [each for each in getattr(definition, "body", ()) if isinstance(each, _Function)]


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in _NOT_CALLED


def _names_in(function: _Function) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id


def _only_writes(function: _Function, name: str) -> bool:
    """Whether ``function`` never reads an attribute ``name``, and uses its object for nothing but its attributes."""
    own = {argument.arg for argument in (*function.args.posonlyargs, *function.args.args)[:1]}
    nodes = list(ast.walk(function))
    written = {id(target) for node in nodes for target in _written_by(node)}
    taken_of = {id(node.value) for node in nodes if isinstance(node, ast.Attribute) and node.attr != "__dict__"}
    taken_of |= {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    reads = (isinstance(node, ast.Attribute) and node.attr == name and id(node) not in written for node in nodes)
    gives = (isinstance(node, ast.Name) and node.id in own and id(node) not in taken_of for node in nodes)
    return not any(reads) and not any(gives)


def _written_by(node: ast.AST) -> Iterator[ast.expr]:
    """The attributes that a statement writes, sets an item of, or changes by a method such as ``append``."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        targets = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        targets = [function.value] if isinstance(function, ast.Attribute) and function.attr in _WRITES else []
    for target in targets:
        while isinstance(target, ast.Subscript):
            target = target.value
        yield target
