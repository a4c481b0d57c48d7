"""Serves the shop's HTTP API from this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gymnasium.error import DependencyNotInstalled

from spec_envs.asgi_server import Served
from spec_envs.retail.shop.database import ShopDatabase
from spec_envs.retail.shop.faults import Faults


@contextlib.contextmanager
def serving(
    database: ShopDatabase, *, faults: Faults | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Served]:
    """Serve the shop while the ``with`` block runs. Yields a value whose ``address`` is the shop's URL.

    Args:
        database: The shop's data.
        faults: Faults to add to the shop's answers, for tests.
        host: The address at which the server listens. Clients are not authenticated.
        port: The port; 0 for a free one.

    Raises:
        InvalidConfiguration: The server cannot listen at the port.
        DependencyNotInstalled: The extra ``servers`` is missing.
    """
    try:
        from spec_envs.retail.shop.app import shop_app  # late: starlette is an extra
    except ImportError as error:
        raise DependencyNotInstalled(f"{error}; install it: pip install 'spec-envs[servers]'") from error
    with Served(shop_app(database, faults), host=host, port=port) as served:
        yield served
