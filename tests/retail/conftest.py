"""A shop with its database, for the tests that write to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spec_envs.retail.loading import load_data
from spec_envs.retail.shop import ShopDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database() -> Iterator[ShopDatabase]:
    with ShopDatabase(load_data("embedded")) as opened:
        yield opened
