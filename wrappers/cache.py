"""``cached``: a decorator of handlers that keeps responses on disk for a while, by diskcache (SQLite)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

from spec_envs.calls import Effect
from spec_envs.checks import integer
from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed
from spec_envs.handling import CancelToken
from spec_envs.pickling import MadeAnew
from spec_envs.wrappers.handlers import DecoratedHandler
from spec_envs.wrappers.recording import Codec

__all__ = ["CachedHandler", "cached"]


def cached(
    handler: Callable[..., Any],
    folder: str | os.PathLike[str] | None = None,
    *,
    types: Iterable[type] = (),
    ttl_s: float = 3600.0,
    max_bytes: int = 100_000_000,
) -> CachedHandler:
    """Return ``handler`` with responses kept on disk, which answer equal queries for ``ttl_s`` seconds.

    ``SpeculativeWrapper`` itself shares equal ``READ`` calls in flight or lately done (``Limits.read_ttl_s``,
    ``Limits.max_reads``), in memory and within one wrapper. This decorator shares responses beyond that: between
    wrappers, processes and runs, and with loops that have no wrapper. ``ttl_s`` counts on the wall clock, also in the
    simulation runtime. Failed calls are not kept.

    Args:
        handler: A handler that only reads, such as ``fetch``.
        folder: The folder for the responses; several processes may use it at once. ``None``: a temporary folder, which
            ``close()`` removes.
        types: The dataclasses that queries and responses are made of, as for ``Recording``.
        ttl_s: For how long a response may be used (> 0), in seconds.
        max_bytes: The approximate size limit of the folder (>= 1); above it, the responses used least recently go.

    Raises:
        InvalidConfiguration: A number is out of range, or the handler does more than read.
        DependencyNotInstalled: diskcache is missing; the message has the command that installs it.
    """
    return CachedHandler(handler, folder, types=types, ttl_s=ttl_s, max_bytes=max_bytes)


class CachedHandler(MadeAnew, DecoratedHandler):
    """The handler that ``cached`` returns. ``close()`` removes a temporary folder, and closes the inner handler."""

    def __init__(
        self,
        handler: Callable[..., Any],
        folder: str | os.PathLike[str] | None,
        *,
        types: Iterable[type],
        ttl_s: float,
        max_bytes: int,
    ) -> None:
        if not ttl_s > 0:
            raise InvalidConfiguration(f"ttl_s must be positive, not {ttl_s!r}")
        integer("max_bytes", max_bytes, least=1)
        effect = getattr(handler, "effect", Effect.READ)
        if effect is not Effect.READ:
            raise InvalidConfiguration(f"only READ handlers can be cached, and the effect of {handler!r} is {effect}")
        super().__init__(handler, self._answer)
        self._codec = Codec(types)
        self._ttl_s = None if ttl_s == float("inf") else ttl_s
        self._temporary = None if folder is not None else tempfile.mkdtemp(prefix="spec-envs-cache-")
        self._cache = _open(folder if folder is not None else self._temporary, max_bytes)

    def close(self) -> None:
        """Remove a temporary folder, and close the inner handler. Idempotent."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        super().close()

    async def _answer(self, inner: Any, query: Any, cancel: CancelToken) -> Any:
        key = json.dumps(self._codec.encode(query))
        # The connection of this thread is closed each time, so that a thread that ends leaves no open file behind.
        with self._cache as cache:
            found = cache.get(key)
        if found is not None:
            return self._codec.decode(json.loads(found))
        response = await inner(query, cancel)
        with self._cache as cache:
            cache.set(key, json.dumps(self._codec.encode(response)), expire=self._ttl_s)
        return response


def _open(folder: Any, max_bytes: int) -> Any:
    with needed("cached()", "cache"):
        import diskcache  # late: an extra

    class TextDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
        """Holds text only: a pickle, which others may have put into the folder, is never loaded."""

        def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> Any:
            if mode == diskcache.core.MODE_PICKLE:
                raise ValueError(f"{folder} holds a pickle, which cached() never writes; remove that folder")
            return super().fetch(mode, filename, value, read)

        def get(self, key: Any, raw: bool) -> Any:
            if not raw:
                raise ValueError(f"{folder} holds a pickle, which cached() never writes; remove that folder")
            return super().get(key, raw)

    cache = diskcache.Cache(
        os.fspath(folder), disk=TextDisk, size_limit=max_bytes, eviction_policy="least-recently-used"
    )
    cache.close()
    return cache
