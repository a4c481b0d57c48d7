"""``cached``: responses are kept on disk for a while, and no longer."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from spec_envs import CancelToken, Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers.cache import cached


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    text: str


class Site:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = 0

    def __call__(self, query: Query) -> tuple[str, ...]:
        self.asked.append(query.text)
        if query.text == "broken":
            raise OSError("broken")
        return (query.text.upper(), "x" * 2000)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def clock(monkeypatch) -> Iterator[list[float]]:
    """The time that the cache sees."""
    now = [1_000_000.0]
    monkeypatch.setattr("spec_envs.wrappers.cache.time.time", lambda: now[0])
    yield now


def ask(handler: Any, text: str) -> Any:
    return handler(Query(text), CancelToken())


def test_asks_once_and_again_after_the_time_to_live(tmp_path, clock):
    site = Site()
    handler = cached(site, tmp_path, types=[Query], ttl_s=60.0)
    assert ask(handler, "a") == ask(handler, "a") == ("A", "x" * 2000)
    clock[0] += 59.0
    ask(handler, "a")
    assert site.asked == ["a"]
    clock[0] += 2.0
    ask(handler, "a")
    assert site.asked == ["a", "a"]


def test_is_shared_between_handlers_on_one_folder(tmp_path):
    site, other = Site(), Site()
    ask(cached(site, tmp_path, types=[Query]), "a")
    assert ask(cached(other, tmp_path, types=[Query]), "a")[0] == "A"
    assert other.asked == []


def test_is_bounded(tmp_path):
    site = Site()
    handler = cached(site, tmp_path, types=[Query], max_bytes=100_000)
    for number in range(100):
        ask(handler, str(number))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 150_000
    ask(handler, "99")
    assert len(site.asked) == 100
    ask(handler, "0")
    assert len(site.asked) == 101


def test_failures_are_not_kept(tmp_path):
    site = Site()
    handler = cached(site, tmp_path, types=[Query])
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            ask(handler, "broken")
    assert site.asked == ["broken", "broken"]


def test_from_many_threads(tmp_path):
    handler = cached(Site(), tmp_path, types=[Query])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: ask(handler, str(number % 5))[0], range(40)))
    assert found == [str(number % 5) for number in range(40)]


def test_a_temporary_folder_goes_with_the_handler():
    site = Site()
    handler = cached(site, types=[Query])
    ask(handler, "a")
    folder = handler._responses._path.parent
    assert os.path.isdir(folder)
    handler.close()
    handler.close()
    assert not os.path.exists(folder) and site.closed == 2


def test_what_was_used_least_recently_goes_first(tmp_path, clock):
    site = Site()
    handler = cached(site, tmp_path, types=[Query], max_bytes=60_000)
    for number in range(60):
        clock[0] += 1.0
        ask(handler, str(number))
        ask(handler, "0")
    ask(handler, "0")
    assert site.asked == list(map(str, range(60)))


def test_a_response_larger_than_the_folder_is_returned_and_not_kept(tmp_path):
    handler = cached(site := Site(), tmp_path, types=[Query], max_bytes=1)
    assert ask(handler, "a") == ask(handler, "a") and site.asked == ["a", "a"]


def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "responses-1.sqlite"
    file.write_bytes(content := b"something else " * 100)
    with pytest.raises(InvalidConfiguration, match=r"responses-1\.sqlite cannot keep responses: .*another folder"):
        cached(Site(), tmp_path, types=[Query])
    assert file.read_bytes() == content


def test_what_an_earlier_version_kept_is_left_alone(tmp_path):
    (tmp_path / "cache.db").write_bytes(b"diskcache's")
    handler = cached(site := Site(), tmp_path, types=[Query])
    assert ask(handler, "a") == ask(handler, "a") and site.asked == ["a"]
    assert (tmp_path / "cache.db").read_bytes() == b"diskcache's"


def test_a_folder_that_fails_later_loses_no_response(tmp_path, caplog):
    handler = cached(site := Site(), tmp_path, types=[Query])
    (tmp_path / "responses-1.sqlite").write_bytes(b"damaged " * 1000)
    assert ask(handler, "a") == ask(handler, "a") == ("A", "x" * 2000)
    assert site.asked == ["a", "a"] and "cannot be used" in caplog.text


def test_waits_for_another_process_that_writes(tmp_path):
    handler = cached(site := Site(), tmp_path, types=[Query])
    ask(handler, "a")
    with contextlib.closing(sqlite3.connect(tmp_path / "responses-1.sqlite", check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.05, other.rollback).start()
        assert ask(handler, "a")[0] == "A" and site.asked == ["a"]


def test_only_what_reads_is_cached(tmp_path):
    def order(query: Query) -> str:
        return "done"

    for effect in (Effect.WRITE, Effect.SAMPLE):
        order.effect = effect  # type: ignore[attr-defined]
        with pytest.raises(InvalidConfiguration, match="only READ handlers"):
            cached(order, tmp_path)


@pytest.mark.parametrize("arguments", [{"ttl_s": 0.0}, {"ttl_s": float("nan")}, {"max_bytes": 0}])
def test_arguments_are_checked(tmp_path, arguments):
    with pytest.raises(InvalidConfiguration, match=next(iter(arguments))):
        cached(Site(), tmp_path, **arguments)


def test_values_that_would_come_back_as_others_are_refused(tmp_path):
    with pytest.raises(TypeError):
        cached(lambda query: object(), tmp_path)("a", CancelToken())
