"""Objects that can be closed: they work in a ``with`` statement, and say so when they are used after that."""

from __future__ import annotations

from typing import Self

from spec_envs.errors import EnvClosed


def closed(what: str) -> EnvClosed:
    """The error of whoever uses ``what`` after it was closed."""
    return EnvClosed(f"{what} was closed; make a new one")


class Closing:
    """Makes a class with a ``close`` method a context manager that closes the object at the end."""

    def close(self) -> None:
        """Release the resources. Idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
