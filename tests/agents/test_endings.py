"""Answers of chat models that say all that matters before their end: nobody listens any longer."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import CancelToken
from spec_envs.agents import ChatPolicy, ReActPolicy
from spec_envs.agents.llm import ChatModel, ChatRequest, Completion, ToolRequest
from spec_envs.benchmarks.serving import Fault, ModelServer
from spec_envs.benchmarks.serving.wire import tokens_of
from spec_envs.chess.position import Position
from spec_envs.errors import HandlerFailed
from tests.agents.scripted import Script
from tests.agents.test_react import START

TAIL = " as I said before" * 20
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
SHOP = {"policy": "Be kind.", "dialogue": "[]", "tools": json.dumps([TOOL])}
CALL = ToolRequest("find", '{"id": "A1"}')

#: By name: the policy, an observation, the answer up to where all is said, what follows, and the action.
CASES = {
    "react": (ReActPolicy, START, "Thought: Hm.\nAction: search[Salt]", f"\nObservation:{TAIL}", "search[Salt]"),
    "chess": (
        lambda model: ChatPolicy(model, "chess"),
        Position(),
        "I like the centre.\nMove: e2e4\n",
        f"Not d2d4,{TAIL}\nMove: d2d4",
        "e2e4",
    ),
}


def spent(policy, observation):
    token = CancelToken()
    action = policy(observation, token)
    return action, token.usage()[0]


@pytest.fixture
def served():
    script = Script("")
    with ModelServer(script, name="m") as server, ChatModel("m", base_url=server.base_url) as model:
        yield server, script, model


@pytest.mark.parametrize(("make", "observation", "said", "tail", "action"), CASES.values(), ids=CASES)
class TestAnAnswerThatGoesOn:
    def test_is_left_with_the_next_piece(self, served, make, observation, said, tail, action):
        server, script, model = served
        script.answers = [said + tail]
        policy, needed = make(model), len(tokens_of(said)) + 2  # "said" may end within a token
        first, whole = spent(policy, observation)
        before = server.settle().tokens_out
        assert before == whole.tokens_out > needed
        server.fail_next(Fault(stall_after=needed))  # listening on would wait for ever
        second, usage = spent(policy, observation)
        assert first == second == action
        assert server.settle().tokens_out - before == needed
        assert needed - 1 <= usage.tokens_out <= needed
        assert usage.tokens_in == whole.tokens_in

    def test_is_heard_out_where_reasoning_may_look_like_an_answer(self, served, make, observation, said, tail, action):
        server, script, model = served
        script.answers = [f"{said}\n</think>\n{said}"]
        policy = make(model)
        usages = [spent(policy, observation)[1] for _ in range(3)]
        assert usages[0] == usages[1] == usages[2]

    def test_is_not_left_within_reasoning(self, served, make, observation, said, tail, action):
        server, script, model = served
        policy = make(model)
        script.answers = ["warm", "warm", f"<think>\n{said}{tail}\n{tail}</think>{said}"]
        with pytest.raises(HandlerFailed):
            policy(observation)
        assert policy(observation) == action


def test_an_answer_that_ends_there_is_heard_to_its_end(served):
    server, script, model = served
    script.answers = ["Action: search[Salt]"]
    policy = ReActPolicy(model)
    usages = [spent(policy, START)[1] for _ in range(3)]
    assert usages[0] == usages[1] == usages[2]
    assert server.settle().tokens_out == sum(usage.tokens_out for usage in usages)


def test_the_first_complete_tool_call_is_enough_where_one_counts(served):
    server, script, model = served
    more = ToolRequest("find", json.dumps({"id": TAIL}))
    script.answers = [Completion(tool_calls=(CALL, more))]
    policy, needed = ChatPolicy(model, "retail"), 1 + len(tokens_of(CALL.arguments)) + 2
    assert policy(SHOP) == {"name": "find", "arguments": {"id": "A1"}}
    server.fail_next(Fault(stall_after=needed))
    action, usage = spent(policy, SHOP)
    assert action == {"name": "find", "arguments": {"id": "A1"}}
    assert usage.tokens_out < 2 * needed


def test_requests_that_say_nothing_of_an_end_are_heard_out(served):
    server, script, model = served
    script.answers = ["Action: search[Salt]" + TAIL]
    request = ChatRequest(messages=[{"role": "user", "content": "Go."}])
    assert [model(request).text for _ in range(2)] == ["Action: search[Salt]" + TAIL] * 2


PIECES = st.lists(
    st.sampled_from(
        "Action: |search[|Salt|]|[|\n| |finish[|Move: |**Move:** |e2e4|d2d4|,|Nf3|\nThought: |Wait".split("|")
    ),
    max_size=8,
).map("".join)
ENDS = st.sampled_from(["\nAction: search[Salt]", "\nAction 2: Finish[]\n", "\nMove: e2e4\n", "\n**Move:** `g1f3`."])


@pytest.mark.parametrize(("make", "observation"), [case[:2] for case in CASES.values()], ids=CASES)
@settings(max_examples=150, deadline=None)
@given(lead=PIECES, end=ENDS, rest=PIECES, last=ENDS, cut=st.integers(0, 40))
def test_what_follows_does_not_matter(make, observation, lead, end, rest, last, cut):
    script = Script("Action: finish[x]\nMove: e2e4")
    make(script)(observation)
    whole = lead + end + rest + last
    found = re.search(script.asked[0].until or "", whole)
    if found is not None:
        assert outcome(make, observation, whole[: found.end() + cut]) == outcome(make, observation, whole)


def outcome(make, observation, said):
    try:
        return make(Script(said, "no"))(observation)
    except HandlerFailed:
        return None
