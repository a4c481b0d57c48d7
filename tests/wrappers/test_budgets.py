"""Budgets of tokens and money hold where handlers declare what they use at most, and are told where they do not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import CancelToken, Usage
from spec_envs.agents.llm import ChatModel, ChatPolicy, Completion, Price
from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts.base import PolicyPrompt, user_message
from spec_envs.agents.retail.chat_customer import ChatCustomer
from spec_envs.handling import as_handler, greatest_usage
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import Limits, SpeculativeWrapper
from spec_envs.wrappers.handlers import metered, rate_limited, record, replay, retry, with_latency
from spec_envs.wrappers.recording import Record, Recording
from tests.wrappers.loops import Answers, choose, play


class Costs:
    """Each of its calls uses up to ``most`` tokens; which share, the query says. It may declare that."""

    def __init__(self, most: float, *, declares: bool) -> None:
        self._most = most
        if declares:
            self.greatest_usage = lambda query: Usage(0, most, most)

    def __call__(self, query: Any, cancel: CancelToken) -> int:
        tokens = self._most * (1 + pure_response(("cost", query))) / 4
        cancel.sleep(1.0, Usage(0, tokens, tokens))
        return pure_response(query)


WRONG = Answers(lambda query: (pure_response(query) + 1) % 4)
RIGHT_AT_TIMES = Answers(lambda query: (pure_response(query) + pure_response(("hit", query)) // 2) % 4)


@settings(max_examples=40, deadline=None)
@given(
    budget=st.floats(0.0, 500.0),
    most=st.floats(0.1, 300.0),
    name=st.sampled_from(["max_tokens", "max_money"]),
    guesser=st.sampled_from([WRONG, RIGHT_AT_TIMES]),
    seed=st.integers(0, 50),
)
def test_a_budget_holds_where_handlers_declare_what_they_use_at_most(
    budget: float, most: float, name: str, guesser: Any, seed: int
) -> None:
    limits = Limits(max_inflight=8, **{name: budget})  # type: ignore[arg-type]
    env = FakeEnv({"world": Costs(most, declares=True)}, calls_per_step=2, length=5)
    policy = with_latency(metered(choose, Usage(1, 2, 3.0)), 1.0)
    with SpeculativeWrapper(
        env, policy, guessers={"world": guesser, "policy": guesser}, limits=limits, runtime="simulation"
    ) as wrapper:
        assert play(wrapper, wrapper.act, seed) == play(FakeEnv(calls_per_step=2, length=5), choose, seed)
        wasted = wrapper.statistics.wasted
        assert (wasted.tokens if name == "max_tokens" else wasted.money) <= budget + 1e-6
        assert not wrapper.statistics.over_budget
        if most == 0.1 and budget > 100:
            assert wasted


def test_what_is_declared_is_speculated_on_before_it_was_ever_called() -> None:
    waited = {}
    for declares in (False, True):
        env = FakeEnv({"world": Costs(10.0, declares=declares)}, calls_per_step=2, length=1)
        with SpeculativeWrapper(
            env, None, guessers={"world": WRONG}, limits=Limits(max_tokens=1000), runtime="simulation"
        ) as wrapper:
            wrapper.reset(seed=0)
            wrapper.step(1)
            waited[declares] = wrapper.statistics.waited_s
    assert waited == {False: 2.0, True: 1.0}


def test_a_budget_that_an_undeclared_handler_passes_is_told() -> None:
    class Dearer:
        count = 0

        def __call__(self, query: Any, cancel: CancelToken) -> int:
            self.count += 1
            cancel.sleep(1.0, Usage(0, 10 * self.count, 0.0))
            return pure_response(query)

    with SpeculativeWrapper(
        FakeEnv({"world": Dearer()}),
        with_latency(choose, 0.5),
        guessers={"world": WRONG, "policy": WRONG},
        limits=Limits(max_tokens=55),
        runtime="simulation",
    ) as env:
        play(env, env.act, 0)
        over = env.statistics.over_budget
        assert over.tokens == env.statistics.wasted.tokens - 55 > 0
        assert f"budget    passed by {over.tokens:,.0f} tokens" in str(env.statistics)


# -- what handlers declare -----------------------------------------------------------------------------------------


class Declares:
    def greatest_usage(self, query: Any) -> Any:
        if query == "raises":
            raise ValueError("no such query")
        return {"text": "much", "none": None}.get(query, Usage(1, 2, 3.0))

    def __call__(self, query: Any, cancel: CancelToken) -> Any:
        return query

    def method(self, query: Any) -> Any:
        return query


USED = Usage(1, 2, 3.0)
RECORDING = Recording()
RECORDING.add(Record("known", "answer", 1.0, Usage(5, 6, 7.0)))


@pytest.mark.parametrize(
    ("handler", "most"),
    [
        (Declares(), USED),
        (Declares().method, USED),
        (as_handler(Declares()), USED),
        (as_handler(Declares().method), USED),
        (with_latency(Declares(), 1.0), USED),
        (rate_limited(Declares(), 1, 1.0), USED),
        (record(Declares(), Recording()), USED),
        (retry(Declares(), attempts=3), USED * 3),
        (metered(Declares(), USED), USED * 2),
        (metered(retry(Declares(), attempts=2), USED), USED * 3),
        (metered(lambda query: query, USED), USED),
        (metered(with_latency(lambda query: query, 1.0), USED), USED),
        (metered(Declares(), lambda query, response: USED), None),
        (retry(lambda query: query, attempts=2), None),
        (lambda query: query, None),
        (replay(RECORDING), None),
        (replay(RECORDING, missing=Declares()), USED),
    ],
    ids=lambda value: "",
)
def test_decorators_declare_what_they_make_of_what_is_declared(handler: Any, most: Usage | None) -> None:
    assert greatest_usage(handler, "query") == most
    assert greatest_usage(as_handler(handler), "query") == most


def test_a_replay_declares_what_was_recorded() -> None:
    assert greatest_usage(replay(RECORDING), "known") == Usage(5, 6, 7.0)


@pytest.mark.parametrize("query", ["raises", "text", "none"])
def test_a_declaration_that_cannot_be_used_is_none(query: str) -> None:
    assert greatest_usage(Declares(), query) is None


# -- what chat models and what prompts them declare ----------------------------------------------------------------

PRICES = {"m": Price(1.0, 2.0)}


def chat_model(**options: Any) -> ChatModel:
    return ChatModel("m", base_url="http://localhost:1/v1", prices=PRICES, options=options)


def asking(text: str = "Hi", **options: Any) -> ChatRequest:
    return ChatRequest(messages=[user_message(text)], **options)


@pytest.mark.parametrize(
    ("options", "request_", "tokens_out"),
    [
        ({}, asking(), None),
        ({}, asking(max_tokens=7), 7),
        ({"max_tokens": 9}, asking(), 9),
        ({"max_completion_tokens": 9}, asking(), 9),
        ({"max_tokens": 9}, asking(max_tokens=7), 9),
        ({"max_tokens": 7}, asking(max_tokens=9), 9),
        ({}, ChatRequest(messages=[{"role": "assistant", "content": None}], max_tokens=3), 3),
        ({}, ChatRequest(messages=[{"role": "user", "content": [{"type": "image_url"}]}], max_tokens=3), None),
        ({"temperature": 1.0}, asking("x" * 1000, max_tokens=1), 1),
    ],
    ids=lambda value: "",
)
def test_a_chat_model_declares_its_limit_and_its_request(
    options: dict[str, Any], request_: ChatRequest, tokens_out: int | None
) -> None:
    with chat_model(**options) as model:
        usage = model.greatest_usage(request_)
        assert greatest_usage(model.acall, request_) == usage
    if tokens_out is None:
        assert usage is None
        return
    assert usage is not None and usage.tokens_out == tokens_out
    text = "".join(each.get("content") or "" for each in request_.messages)
    assert len(text.encode()) < usage.tokens_in <= len(text) + 512
    assert usage.money == pytest.approx((usage.tokens_in * 1.0 + usage.tokens_out * 2.0) / 1e6)


class Server:
    """A model that declares what its answers use at most, uses all of that, and answers what is given."""

    def __init__(self, answers: list[tuple[str, str]]) -> None:
        self._answers = answers
        self.spent = Usage()

    def greatest_usage(self, query: ChatRequest) -> Usage:
        assert query.max_tokens is not None
        return Usage(sum(len(each["content"] or "") for each in query.messages), query.max_tokens, 0.0)

    def __call__(self, query: ChatRequest, cancel: CancelToken) -> Completion:
        text, reason = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        usage = self.greatest_usage(query)
        text = text * (round(usage.tokens_out) // max(1, len(text)))  # a token is a character here
        self.spent += usage
        return Completion(text=text, finish_reason=reason, usage=usage)


@settings(max_examples=50, deadline=None)
@given(
    prompt=st.text(min_size=1, max_size=200),
    limit=st.integers(1, 300),
    answers=st.lists(
        st.tuples(st.sampled_from(["x", "no", "later"]), st.sampled_from(["stop", "length", "content_filter"])),
        min_size=1,
        max_size=5,
    ),
)
def test_a_policy_never_uses_more_than_it_declares(prompt: str, limit: int, answers: list[tuple[str, str]]) -> None:
    def read(completion: Completion, observation: Any) -> str:
        raise ValueError(f"{completion.text[:500]!r} is no action, since nothing is")

    server = Server(answers)
    policy = ChatPolicy(
        server, PolicyPrompt(request=lambda observation: asking(observation, max_tokens=limit), read=read)
    )
    most = greatest_usage(policy, prompt)
    assert most is not None and greatest_usage(policy.acall, prompt) == most
    with pytest.raises(Exception, match="cannot be used|not an answer"):
        policy(prompt)
    assert server.spent.tokens_in <= most.tokens_in
    assert server.spent.tokens_out <= most.tokens_out


def test_a_policy_declares_nothing_where_its_model_does_not() -> None:
    assert greatest_usage(ChatPolicy(lambda query: Completion(text="e4"), "chess"), "nonsense") is None
    with chat_model() as model:
        assert greatest_usage(ChatCustomer(model), object()) is None
