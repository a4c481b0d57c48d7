"""Random reads and writes over few keys: no read is stale, and nothing crashes. ``make conformance`` plays 2,000."""

from __future__ import annotations

import logging

import pytest

from tests.wrappers.loops import VIRTUAL, shows_no_difference
from tests.wrappers.store import compare


@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("runtime", VIRTUAL)
def test_no_read_is_stale(runtime: str, block: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    certificates = compare(runtime, range(20 * block, 20 * (block + 1)))
    assert [str(each) for each in certificates if not shows_no_difference(each)] == []
