"""Context variables that a step sets: they belong to the code that calls the step, not to the environment.

A fork makes its step in a copy of the context, so that nothing of it stays.
"""

import contextvars
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
#: Python makes this one where it is first asked for.
_MADE_BY_PYTHON = "decimal_context"


def run_apart(run: Callable[[], _T]) -> tuple[_T, str | None]:
    """Call ``run`` in a copy of the context; return its result, and the name of a variable that ``run`` has set."""
    context = contextvars.copy_context()
    result = context.run(run)
    return result, _first_set(context)


def _first_set(context: contextvars.Context) -> str | None:
    """The name of the first variable that has another value in ``context`` than here, or has one only there."""
    here = contextvars.copy_context()
    if len(here) == len(context) and all(here.get(each) is value for each, value in context.items()):
        return None
    names = [
        each.name
        for each, value in context.items()
        if each not in here and each.name != _MADE_BY_PYTHON or each in here and here[each] is not value
    ]
    return names[0] if names else None
