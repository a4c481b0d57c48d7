"""Settings that every test shares."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Tests find their helpers in the package `tests`, from the end of the path: `agents` is the OpenAI Agents SDK, not the
# folder of that name, which installs as `spec_envs.agents`.
_ROOT = str(Path(__file__).parents[1])
sys.path[:] = [*(entry for entry in sys.path if entry not in ("", _ROOT)), _ROOT]

# The matrices of the tests are small, and threads for them only keep the processors of other tests busy.
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# The same examples in every run, and no deadline: a machine under load must not fail a test.
settings.register_profile("deterministic", deadline=None, derandomize=True, max_examples=50, print_blob=True)
settings.load_profile("deterministic")

# A shell has what it runs in the background ignore Ctrl-C, and so would the commands that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """``-n auto`` is a process more than there are processors: tests that wait for other processes leave one idle."""
    return (yield) + 1


def pytest_collection_finish() -> None:
    """What is there now stays: collections of garbage, for which some tests ask, need not look through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    """Closes at the end of the test what it was given and returned."""
    given: list[Any] = []
    yield lambda thing: given.append(thing) or thing
    for thing in given:
        getattr(thing, "close", lambda: None)()
