"""What answers ``fetch`` calls, by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus.corpus import Corpus
from spec_envs.search.loading import load_corpus

__all__ = ["make_backend"]


def make_backend(
    backend: str | Callable[..., Any], *, corpus: str | os.PathLike[str] | Corpus, site: str | None
) -> tuple[Callable[..., Any], bool]:
    """The handler for a backend, and whether it is new, so that whoever asked for it is to close it.

    Args:
        backend: "corpus", "http", "browser", or a handler.
        corpus: For "corpus": what it reads.
        site: For "http" and "browser": the address of the MediaWiki site.

    Raises:
        InvalidConfiguration: There is no such backend, or it has no use for an argument.
    """
    if corpus != "embedded" and backend != "corpus":
        raise InvalidConfiguration(f"corpus={corpus!r} is for backend='corpus', and backend is {backend!r}")
    if (site is None) == (backend in ("http", "browser")):
        wanted = "needs the address of a site: site='https://…'" if site is None else f"has no use for site={site!r}"
        raise InvalidConfiguration(f"backend={backend!r} {wanted}")
    if backend == "corpus":
        return (corpus if isinstance(corpus, Corpus) else load_corpus(corpus)), False
    if backend == "http" and site is not None:
        from spec_envs.search.web.http_backend import HttpBackend

        return HttpBackend(site), True
    if backend == "browser" and site is not None:
        from spec_envs.search.web.browser_backend import BrowserBackend

        return BrowserBackend(site), True
    if not callable(backend):
        raise InvalidConfiguration(f'backend must be "corpus", "http", "browser" or a callable, not {backend!r}')
    return backend, False
