"""A model server that answers so many requests at once, and what speculation does to such a server."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from spec_envs.agents.llm import ChatModel, ChatRequest
from spec_envs.benchmarks.serving import ModelServer, Pace
from spec_envs.errors import CallCancelled, HandlerFailed
from spec_envs.handling import CancelToken


def asked_at_once(queue: Any, **options: Any) -> list[tuple[str, float]]:
    """The outcome of three requests, one soon after the other, to a server with one slot, and when each came."""
    with (
        ModelServer(lambda request: "yes", pace=Pace(first_token_s=0.3), slots=1, queue=queue) as server,
        ChatModel("model", base_url=server.base_url, **options) as model,
    ):
        model(ChatRequest(messages=[{"role": "user", "content": "Are you there?"}]), CancelToken())
        start = time.monotonic()

        def ask(number: int) -> tuple[str, float]:
            time.sleep(0.08 * number)
            try:
                answer = model(ChatRequest(messages=[{"role": "user", "content": str(number)}]), CancelToken()).text
            except HandlerFailed:
                answer = "dropped"
            return answer, time.monotonic() - start

        with ThreadPoolExecutor(3) as executor:
            return list(executor.map(ask, range(3)))


def test_requests_wait_for_their_turn() -> None:
    answers = asked_at_once("fifo")
    assert [answer for answer, _ in answers] == ["yes"] * 3
    assert all(after >= 0.3 * number for number, (_, after) in enumerate(answers, 1))


def test_a_new_request_drops_the_oldest_one() -> None:
    answers = asked_at_once("drop", max_retries=0)
    assert [answer for answer, _ in answers] == ["dropped", "dropped", "yes"]


def test_a_dropped_request_fails_at_once() -> None:
    with (
        ModelServer(lambda request: "yes", pace=Pace(first_token_s=600), slots=1, queue="drop") as server,
        ChatModel("model", base_url=server.base_url, max_retries=0, timeout_s=600) as model,
        ThreadPoolExecutor(2) as executor,
    ):
        token = CancelToken()

        def ask(number: int) -> None:
            model(ChatRequest(messages=[{"role": "user", "content": str(number)}]), token)

        first = executor.submit(ask, 1)
        while server.statistics.running < 1:
            time.sleep(0.01)
        second = executor.submit(ask, 2)
        assert isinstance(first.exception(timeout=60), HandlerFailed)
        token.cancel()
        assert isinstance(second.exception(timeout=60), CallCancelled)


def test_a_client_that_hangs_up_gives_its_place_back() -> None:
    with (
        ModelServer(lambda request: "yes", pace=Pace(first_token_s=0.3), slots=1) as server,
        ChatModel("model", base_url=server.base_url, max_retries=0) as model,
        ThreadPoolExecutor(3) as executor,
    ):
        tokens = [CancelToken() for _ in range(3)]
        asked = [
            executor.submit(model, ChatRequest(messages=[{"role": "user", "content": str(number)}]), token)
            for number, token in enumerate(tokens)
        ]
        while server.statistics.running < 3:
            time.sleep(0.01)
        tokens[0].cancel()
        tokens[1].cancel()
        assert asked[2].result().text == "yes"
        for cancelled in asked[:2]:
            with pytest.raises(Exception):  # noqa: B017  (whatever a cancelled call raises)
                cancelled.result()
