"""Coroutines that never wait for an event loop, run like plain functions."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from spec_envs.errors import InvalidConfiguration

Result = TypeVar("Result")


def run_blocking(coroutine: Coroutine[Any, Any, Result], refusal: str) -> Result:
    """Return the result of a coroutine whose awaits all block instead of waiting for an event loop.

    So code that is written once, as a coroutine function, serves blocking callers too.

    Raises:
        InvalidConfiguration: The coroutine waits for an event loop; ``refusal`` is the text of the error.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    coroutine.close()
    raise InvalidConfiguration(refusal)
