"""Settings that are on or off: a text such as "no" is refused, where it would count as true."""

from __future__ import annotations

from typing import Any

import pytest

from spec_envs import rollouts
from spec_envs.agents import ChatGuesser
from spec_envs.agents.llm import Completion
from spec_envs.agents.search.react_policy import ReActPolicy
from spec_envs.errors import InvalidConfiguration
from spec_envs.testing import FakeEnv
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.round_robin import RoundRobin


def model(request: Any) -> Completion:
    raise AssertionError(request)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("keep_thoughts", lambda flag: ReActPolicy(model, keep_thoughts=flag)),
        ("logprobs", lambda flag: ChatGuesser(model, "search", logprobs=flag)),
        ("paced", lambda flag: SimulatedBackend(RoundRobin(), paced=flag)),
        ("in_order", lambda flag: rollouts(FakeEnv, lambda observation: 0, {}, [0], in_order=flag)),
        ("keep_errors", lambda flag: rollouts(FakeEnv, lambda observation: 0, {}, [0], keep_errors=flag)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("flag", ["no", None, 1, []])
def test_a_flag_is_true_or_false(name, make, flag):
    with pytest.raises(InvalidConfiguration, match=f"{name} must be True or False, not "):
        make(flag)
