"""What functions keep between calls: variables that they close over, defaults of parameters, and attributes."""

import dis
import functools
import operator
import types
from collections.abc import Callable
from typing import Any


def contents_of(cell: types.CellType) -> list[Any]:
    """A list with the value of a closure's variable; empty if the variable is not bound."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


@functools.lru_cache(maxsize=1024)
def rebinds(code: types.CodeType) -> bool:
    """Whether the function changes a variable of the function around it (``nonlocal``)."""
    return any(
        step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in code.co_freevars
        for step in dis.get_instructions(code)
    )


def closes_over_code(function: types.FunctionType) -> bool:
    """Whether the function closes over functions, classes and modules alone: nobody sets such a variable later."""
    contents = [content for cell in function.__closure__ or () for content in contents_of(cell)]
    code = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)
    return all(isinstance(content, code) for content in contents) and not rebinds(function.__code__)


def copied_method(method: types.BuiltinFunctionType, copy: Callable[[Any], Any]) -> Any:
    """A method of a list, or of another object of Python, bound to the copy of that object; a function is shared."""
    holder: Any = method.__self__
    if holder is None or isinstance(holder, (types.ModuleType, type)):
        return method
    copied = copy(holder)
    return method if copied is holder else getattr(copied, method.__name__)


def copied_function(function: types.FunctionType, copy: Callable[[Any], Any], memo: dict[int, Any]) -> Any:
    """A function that keeps copies of what ``function`` keeps; ``function`` itself if nothing of that can change.

    Args:
        function: The function.
        copy: Copies what the function keeps.
        memo: The copies made so far, by the ``id`` of the original; those of the function and its variables are added.
    """
    if not (function.__closure__ or function.__defaults__ or function.__kwdefaults__ or function.__dict__):
        return function
    old = function.__closure__ or ()
    cells = tuple(memo.setdefault(id(cell), types.CellType()) for cell in old)
    twin = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
    memo[id(function)] = twin
    before = [content for cell in old for content in contents_of(cell)]
    kept = (function.__defaults__, function.__kwdefaults__ or None, function.__dict__ or None)
    after = [*map(copy, before)]
    copies = [*map(copy, kept)]
    if all(map(operator.is_, (*after, *copies), (*before, *kept))) and closes_over_code(function):
        memo[id(function)] = function
        memo.update((id(cell), cell) for cell in old)
        return function
    for cell, new in zip(old, cells, strict=True):
        for content in contents_of(cell):
            new.cell_contents = copy(content)
    functools.update_wrapper(twin, function, updated=())
    twin.__dict__.clear()
    twin.__defaults__, twin.__kwdefaults__ = copies[:2]
    twin.__dict__.update(copies[2] or {})
    return twin
