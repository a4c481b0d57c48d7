"""Chat models as tuners, and as guessers of tuners."""

from __future__ import annotations

import json

import gymnasium as gym
import pytest

import spec_envs  # noqa: F401
from spec_envs import Call, CancelToken
from spec_envs.agents.llm import ChatGuesser, ChatPolicy
from spec_envs.errors import HandlerFailed
from spec_envs.tuning.backends.program_backends import SqliteMix
from spec_envs.tuning.models import Surface
from tests.agents.scripted import Script


def observed(workload=None):
    env = gym.make("SpecTuning-v0", workload=workload, observation="text")
    observation, _ = env.reset(seed=0)
    env.close()
    return observation


def test_a_model_is_told_knobs_goal_and_windows():
    script = Script('{"slice_ms": 3.0}')
    ChatPolicy(script, "tuning")(observed(), CancelToken())
    asked = script.asked[0].messages[-1]["content"]
    assert "lower p95" in asked and '"low": 0.1' in asked and '"slice_ms": 32.0' in asked and '"p95": ' in asked
    assert 'The machine in the last one: {"load": ' in asked and "load per core" in asked


@pytest.mark.parametrize(
    ("answer", "setting"),
    [
        ('I try a smaller one.\n{"slice_ms": 3.0}', {"slice_ms": 3.0}),
        ('```json\n{"slice_ms": 1}\n```', {"slice_ms": 1}),
        ('Not {"slice_ms": 99} but {"slice_ms": 2.5}, {that is it.', {"slice_ms": 2.5}),
        ("{}", {"slice_ms": 32.0}),
        ('{"slice_ms": "3"}', {"slice_ms": 3}),
        ('{"slice_ms": 2.5} is better than {}', {"slice_ms": 2.5}),
        ('{"slice_ms": 2.5, "reason": "shorter slices, such as 1"}', {"slice_ms": 2.5}),
    ],
)
def test_the_last_setting_of_an_answer_counts(answer, setting):
    assert json.loads(ChatPolicy(Script(answer), "tuning")(observed(), CancelToken())) == setting


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("smaller", "holds no JSON object"),
        ('{"slice": 3.0}', "there is no knob 'slice'; there are slice_ms"),
        ('{"slice_ms": 0.01}', "slice_ms lies between 0.1 and 100, and 0.01 does not"),
        ('{"slice_ms": NaN}', "slice_ms lies between 0.1 and 100, and nan does not"),
        ('{"slice_ms": "3 ms"}', "slice_ms is a number, not '3 ms'"),
        ('{"slice_ms": "true"}', "slice_ms is a number, not 'true'"),
        ('{"slice_ms": 2.5, "others": {}}', "there is no knob 'others'"),
        ('{"slice_ms": 2.5, "reason": 1}', "there is no knob 'reason'"),
    ],
)
def test_what_cannot_be_used_is_sent_back_with_the_reason(answer, wrong):
    script = Script(answer, '{"slice_ms": 3.0}')
    assert json.loads(ChatPolicy(script, "tuning")(observed(), CancelToken())) == {"slice_ms": 3.0}
    assert wrong in script.asked[1].messages[-1]["content"]
    with pytest.raises(HandlerFailed, match="cannot be used"):
        ChatPolicy(Script(answer), "tuning")(observed(), CancelToken())


def test_choices_are_checked_and_other_knobs_stay():
    observation = observed(Surface(6))
    now = json.loads(observation)["windows"][-1]["knobs"]
    action = ChatPolicy(Script('{"placement": "mixed"}'), "tuning")(observation, CancelToken())
    assert json.loads(action) == {**now, "placement": "mixed"}
    script = Script('{"placement": "middle"}', '{"placement": "far"}')
    ChatPolicy(script, "tuning")(observation, CancelToken())
    assert "placement is one of pack, near, mixed, far, spread" in script.asked[1].messages[-1]["content"]


def test_a_choice_that_looks_like_a_number_may_be_written_as_one():
    knobs = {knob.name: {"choices": list(knob.choices)} for knob in SqliteMix().knobs if knob.name == "page_size"}
    windows = [{"window": 0, "knobs": {"page_size": "4096"}}]
    report = {"workload": "", "goal": "", "units": "", "knobs": knobs, "windows": windows, "machine": {}}
    observation = json.dumps(report)
    action = ChatPolicy(Script('{"page_size": 8192}'), "tuning")(observation, CancelToken())
    assert json.loads(action) == {"page_size": 8192}


def test_guesses_are_settings_a_line_each():
    script = Script('1. {"slice_ms": 3.0}\n2. {"slice_ms": 500}\n3. {"slice_ms": 10.0}\n4. {"slice_ms": 3.0}')
    guesses = ChatGuesser(script, "tuning").guess(Call("policy", observed()), 3)
    assert [json.loads(each.response) for each in guesses] == [{"slice_ms": 3.0}, {"slice_ms": 10.0}]
    assert "Name the 3 most likely settings" in script.asked[0].messages[-1]["content"]


def test_observations_as_arrays_get_no_guess_and_a_clear_error():
    env = gym.make("SpecTuning-v0")
    observation, _ = env.reset(seed=0)
    env.close()
    script = Script("{}")
    assert ChatGuesser(script, "tuning").guess(Call("policy", observation), 3) == [] and not script.asked
    with pytest.raises(ValueError, match='observation="text"'):
        ChatPolicy(script, "tuning")(observation, CancelToken())
