"""A shop with its database, for the tests that write to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spec_envs.retail.loading import load_data
from spec_envs.retail.shop import ShopDatabase


@pytest.fixture
def database() -> Iterator[ShopDatabase]:
    with ShopDatabase(load_data("embedded")) as opened:
        yield opened
