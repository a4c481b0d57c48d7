"""The variables and attributes that a piece of code uses and sets."""

import dis
import functools
import types
from collections.abc import Iterator


def codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function, and that of the functions which it defines."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


@functools.lru_cache(maxsize=1024)
def uses_in(code: types.CodeType) -> frozenset[tuple[str, str | None]]:
    """Each name that the code loads, with the attribute taken of this name, or of its ``unwrapped``, at once."""
    loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_ATTR")
    takes = ("LOAD_ATTR", "LOAD_METHOD")
    steps = [(step.argval, step.opname in loads, step.opname in takes) for step in dis.get_instructions(code)]
    uses = set[tuple[str, str | None]]()
    for number, (name, is_load, _) in enumerate(steps):
        then = [after if is_taken else None for after, _, is_taken in steps[number + 1 : number + 3]]
        if is_load:
            uses.add((name, next((after for after in then if after != "unwrapped"), None)))
    return frozenset(uses)


@functools.lru_cache(maxsize=1024)
def set_by(code: types.CodeType) -> frozenset[str]:
    """The names of the attributes that the code sets, of any object."""
    return frozenset(step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR")
