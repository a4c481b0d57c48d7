"""`Closing`: what everything that can be closed has in common, so that it works in a `with` statement."""

from __future__ import annotations

from typing import Self


class Closing:
    """Makes a class with a ``close`` method a context manager that closes the object at the end."""

    def close(self) -> None:
        """Release the resources. Idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
