"""The handlers of ``fetch`` calls that ``SpecSearch-v0`` knows by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus.corpus import Corpus
from spec_envs.search.loading import load_corpus
from spec_envs.search.web.browser_backend import BrowserBackend
from spec_envs.search.web.http_backend import HttpBackend


def make_backend(
    backend: str | Callable[..., Any], *, corpus: str | os.PathLike[str] | Corpus, site: str | None
) -> tuple[Callable[..., Any], bool]:
    """Return the handler for ``backend``, and whether the caller has to close it because it was made here.

    Args:
        backend: "corpus", "http", "browser", or a handler.
        corpus: The pages of the backend "corpus"; see ``load_corpus``.
        site: The address of the MediaWiki site that the backends "http" and "browser" read.

    Raises:
        InvalidConfiguration: There is no such backend, or an argument belongs to another backend.
    """
    if corpus != "embedded" and backend != "corpus":
        raise InvalidConfiguration(f"corpus={corpus!r} needs backend='corpus', but backend is {backend!r}")
    if (site is None) == (backend in ("http", "browser")):
        wanted = "needs the address of a site: site='https://…'" if site is None else f"does not take site={site!r}"
        raise InvalidConfiguration(f"backend={backend!r} {wanted}")
    if backend == "corpus":
        return (corpus if isinstance(corpus, Corpus) else load_corpus(corpus)), False
    if backend == "http" and site is not None:
        return HttpBackend(site), True
    if backend == "browser" and site is not None:
        return BrowserBackend(site), True
    if not callable(backend):
        raise InvalidConfiguration(f'backend must be "corpus", "http", "browser" or a callable, not {backend!r}')
    return backend, False
