"""Models that repeat themselves until they are cut: the time to read a text grows as its length does, not faster.

Each text is so long that a reader whose time grows with the square of the length would meet the tests' time limit.
"""

from __future__ import annotations

import contextlib

import pytest

from spec_envs.agents import ChatPolicy, ReActPolicy
from spec_envs.errors import HandlerFailed
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.loading import load_tasks
from spec_envs.retail.queries import GREETING, CustomerQuery
from tests.agents.scripted import Script
from tests.agents.test_chat_policy import CHESS, SHOP
from tests.agents.test_react import START

LENGTH = 200_000
PIECES = [" ", "\n", "no ", "I'd ", "exchange ", "[", "< ", "\n<answer>"]


@pytest.mark.parametrize("piece", PIECES)
def test_models_that_repeat_themselves(piece: str) -> None:
    said = f"a{piece * (LENGTH // len(piece))}b"
    for policy, observation in (
        (ChatPolicy(Script(said), "chess"), CHESS),
        (ChatPolicy(Script(said), "retail"), SHOP),
        (ReActPolicy(Script(said)), START),
    ):
        with contextlib.suppress(HandlerFailed):  # most of it is no action
            policy(observation)


@pytest.mark.parametrize("piece", PIECES)
def test_agents_that_repeat_themselves_to_a_customer(piece: str) -> None:
    said = piece * (LENGTH // len(piece))
    query = CustomerQuery((GREETING, "Hello.", said), load_tasks("embedded", "test")[0], 0)
    assert scripted_customer(query)
