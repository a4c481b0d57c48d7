"""``SpecRetail-v0`` as a Gymnasium environment."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from spec_envs import Call, Effect
from spec_envs.agents import CallableGuesser, FrequencyGuesser, GoldReplay, ScriptedRetailPolicy
from spec_envs.call_env import Script
from spec_envs.errors import CallPending, EnvClosed, HandlerFailed, InvalidAction, InvalidConfiguration, ResetNeeded
from spec_envs.retail.actions import CallAction, read_action
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.env import RetailEnv
from spec_envs.retail.queries import GREETING, STOP, CustomerQuery, ToolQuery, instant_tools
from spec_envs.retail.tasks import Action, Task
from spec_envs.retail.tools.table import SCHEMAS, WRITES
from spec_envs.testing import check_fork
from spec_envs.wrappers import SpeculativeWrapper, certify
from spec_envs.wrappers.handlers import with_latency
from tests.retail.shops import TAU_BENCH, needs_tau_bench

if TYPE_CHECKING:
    from spec_envs.retail.tools.tool import ToolResponse

#: A task with one pending order to cancel, and one with something that has to be said.
CANCEL, RETURN_AND_TELL = 0, 3
CANCEL_CALL = {"name": "cancel_pending_order", "arguments": {"order_id": "#W0", "reason": "no longer needed"}}


def make(**arguments: Any) -> Any:
    return gym.make("SpecRetail-v0", **arguments).unwrapped


def started(**arguments: Any) -> Any:
    env = make(**{"task_index": CANCEL, **arguments})
    env.reset(seed=0)
    return env


def cancel(env: Any) -> dict[str, Any]:
    """The call that changes the data in the first task."""
    action = env.episode.task.actions[-1]
    return {"name": action.name, "arguments": dict(action.arguments)}


def play(env: Any, policy: Any, **reset: Any) -> tuple[float, dict[str, Any]]:
    observation, _ = env.reset(**reset)
    done = False
    while not done:
        observation, reward, terminated, truncated, info = env.step(policy(observation))
        done = terminated or truncated
    return reward, info


def calls_of(env: Any, action: Any) -> list[Call]:
    """The calls of one step, made on a fork."""
    twin = env.fork()
    twin.answer_with(Script())
    with pytest.raises(CallPending) as pending:
        twin.step(action)
    return [pending.value.call]


@pytest.mark.parametrize("one", [np.int64(1), np.uint8(1), np.array(1), np.arange(3)[1]], ids=repr)
def test_whatever_is_an_index_is_an_integer(one):
    env = make(task_index=one, max_steps=one)
    assert env.reset(seed=0)[1]["task"] == "test-1"
    assert env.step("Hello.")[3] is True
    assert make().reset(seed=0, options={"task": one})[1]["task"] == "test-1"
    with pytest.raises(InvalidConfiguration, match="index is an integer from 0"):
        make().reset(seed=0, options={"task": np.float64(one)})


class TestContract:
    def test_check_env(self):
        check_env(make(render_mode="ansi"))

    def test_check_fork(self):
        check_fork(gym.make("SpecRetail-v0", max_steps=7))

    def test_check_fork_with_writes(self):
        policy = ScriptedRetailPolicy()
        check_fork(make(), steps=25, actions=lambda observation, info, rng: policy(observation))

    def test_observations_are_json_in_the_space(self):
        env = started()
        env.step("Could you tell me your e-mail address?")
        observation, *_ = env.step({"name": "think", "arguments": {"thought": "Grüße 你好"}})
        assert observation in env.observation_space
        assert json.loads(observation["dialogue"]) == env.dialogue
        assert json.loads(observation["tools"]) == list(SCHEMAS)
        assert "explicit" in observation["policy"]
        assert [message["role"] for message in env.dialogue] == ["user", "assistant", "user", "assistant", "tool"]
        call, result = env.dialogue[-2:]
        assert call["tool_calls"][0]["id"] == result["tool_call_id"]
        assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"thought": "Grüße 你好"}

    def test_the_policy_text_can_be_given(self):
        observation, _ = make(policy="Be kind.").reset(seed=0)
        assert observation["policy"] == "Be kind."

    def test_sampled_actions_change_nothing(self):
        env = started()
        env.action_space.seed(0)
        for _ in range(20):
            action = env.action_space.sample()
            assert action in env.action_space
            if env.episode.outcome is None:
                env.step(action)
        assert env.episode.store == env.episode.start

    def test_render(self):
        env = started(render_mode="ansi")
        env.step('{"name": "calculate", "arguments": {"expression": "1 + 1"}}')
        first, *others = env.render().split("\n")
        assert first.startswith("user: ")
        assert others == ['assistant calls calculate({"expression": "1 + 1"})', "tool: 2.0"]


class TestSeedsAndTasks:
    def test_the_seed_decides_task_and_wording(self):
        env = make()
        first, info = env.reset(seed=3)
        assert env.reset(seed=3) == (first, info)
        assert len({env.reset(seed=seed)[1]["task"] for seed in range(30)}) > 10

    def test_a_task_is_chosen_by_index_name_or_value(self):
        env = make(split=None)
        task = env.tasks[150]
        for chosen in (150, task.name, task):
            assert env.reset(options={"task": chosen})[1]["task"] == task.name
        assert make(tasks=[task]).reset()[1]["task"] == task.name

    @pytest.mark.parametrize("task", [-1, 60, True, "test-99", 1.5])
    def test_a_task_that_does_not_exist(self, task):
        with pytest.raises(InvalidConfiguration, match="task"):
            make().reset(options={"task": task})

    @pytest.mark.parametrize(
        "arguments",
        [
            {"max_steps": 0},
            {"max_steps": True},
            {"customer": 3},
            {"tools": "instant"},
            {"data": 3},
            {"customer": "nobody"},
            {"render_mode": "rgb_array"},
            {"tasks": []},
            {"task_index": 60},
            {"split": "nowhere"},
            {"data": "/nowhere"},
        ],
        ids=str,
    )
    def test_arguments_that_make_no_sense(self, arguments):
        with pytest.raises(InvalidConfiguration):
            RetailEnv(**arguments)

    def test_an_unknown_option(self):
        with pytest.raises(InvalidConfiguration, match="'goal'"):
            make().reset(options={"goal": 1})


class TestActions:
    @pytest.mark.parametrize("form", ["arguments", "kwargs", "arguments as text"])
    @pytest.mark.parametrize("as_text", [False, True])
    def test_a_tool_call_in_all_its_forms(self, form, as_text):
        given: Any = {"expression": "2 * 3"}
        key = form.partition(" ")[0]
        action: Any = {"name": "calculate", key: json.dumps(given) if form.endswith("text") else given}
        env = started()
        env.step(json.dumps(action) if as_text else action)
        assert env.dialogue[-1]["content"] == "6.0"

    @pytest.mark.parametrize(
        "action", ["Hello", {"name": "respond", "kwargs": {"content": "Hello"}}, '{"a": 1}', "{Hello}", "[1]", ""]
    )
    def test_a_message_in_all_its_forms(self, action):
        env = started()
        env.step(action)
        message = env.dialogue[-2]
        assert message == {"role": "assistant", "content": "Hello" if isinstance(action, dict) else action}

    def test_integers_of_numpy_are_integers(self):
        expected = (CallAction("f", {"n": 3}, '{"n": 3}'),)
        assert read_action({"name": "f", "arguments": {"n": np.int64(3)}}) == expected
        with pytest.raises(InvalidAction, match="not JSON data"):
            read_action({"name": "f", "arguments": {"n": np.bool_(True)}})

    def test_arguments_that_never_end(self):
        arguments: dict[str, Any] = {}
        arguments["again"] = arguments
        with pytest.raises(InvalidAction, match="nested more than 100 times"):
            started().step({"name": "think", "arguments": arguments})

    @pytest.mark.parametrize("depth", [99, 100, 900, 100_000])
    def test_arguments_that_are_deep(self, depth):
        value: Any = "x"
        for _ in range(depth):
            value = [value]
        if depth < 100:
            started().step({"name": "think", "arguments": {"thought": value}})
            return
        with pytest.raises(InvalidAction, match="nested more than 100 times"):
            started().step({"name": "think", "arguments": {"thought": value}})

    @pytest.mark.parametrize("action", [None, 5, {}, {"arguments": {}}, {"name": 3}, {"name": "x", "arguments": {1}}])
    def test_what_is_no_action_changes_nothing(self, action):
        env = started()
        before = env.episode
        with pytest.raises(InvalidAction):
            env.step(action)
        assert env.episode is before and action not in env.action_space

    @pytest.mark.parametrize(
        ("action", "answer"),
        [
            ({"name": "refund", "arguments": {}}, "Unknown action refund"),
            (CANCEL_CALL, "Error: order not found"),
            (
                {"name": "cancel_pending_order", "arguments": {}},
                "Error: CancelPendingOrder.invoke() missing 2 required positional arguments: 'order_id' and 'reason'",
            ),
            ('{"name": "get_user_details", "arguments": 3}', "Error: invalid arguments for get_user_details"),
            ({"name": "get_user_details", "arguments": None}, "Error: invalid arguments for get_user_details"),
        ],
    )
    def test_a_wrong_call_is_an_observation(self, action, answer):
        env = started()
        _, reward, terminated, truncated, info = env.step(action)
        assert env.dialogue[-1]["content"].startswith(answer)
        assert (reward, terminated, truncated, info["outcome"]) == (0.0, False, False, None)
        assert env.episode.store is env.episode.start

    def test_the_caller_may_change_what_it_gave(self):
        env, arguments = started(), {"expression": "1"}
        (call,) = calls_of(env, {"name": "calculate", "arguments": arguments})
        arguments["expression"] = "2"
        assert call.query.arguments == {"expression": "1"}


class TestEnds:
    def test_gold_actions_of_every_task_are_rewarded(self):
        env = make()
        for index, task in enumerate(env.tasks):
            reward, info = play(env, GoldReplay(task), seed=index, options={"task": index})
            assert (reward, info["database"], set(info["outputs"].values()) <= {True}) == (1.0, True, True), task.name

    def test_the_database_is_wrong(self):
        env = started(customer=lambda query: STOP if len(query.said) > 1 else "Hi")
        *_, terminated, truncated, info = env.step("Bye")
        assert terminated and not truncated
        assert info == {"task": "test-0", "steps": 1, "outcome": "stop", "database": False, "outputs": {}}

    def test_an_output_was_not_said(self):
        env = make(task_index=RETURN_AND_TELL, customer=lambda query: STOP if "Bye" in query.said[-1] else "Hi")
        task = env.tasks[RETURN_AND_TELL]
        (output,) = task.outputs
        for message, said in (("Bye", False), (f"{output[:1]},{output[1:]}. Bye", True)):
            env.reset(seed=0)
            for action in task.actions:
                env.step({"name": action.name, "arguments": action.arguments})
            _, reward, _, _, info = env.step(message)
            assert (reward, info["database"], info["outputs"]) == (float(said), True, {output: said})

    def test_what_the_customer_says_is_not_said_by_the_agent(self):
        customer = make().tasks[RETURN_AND_TELL].outputs[0]
        env = make(task_index=RETURN_AND_TELL, customer=lambda query: f"{customer} {STOP if query.said[1:] else ''}")
        env.reset(seed=0)
        assert env.step("Bye")[-1]["outputs"] == {customer: False}

    def test_transfer(self):
        env = started()
        _, reward, terminated, _, info = env.step({"name": "transfer_to_human_agents", "arguments": {"summary": ""}})
        assert (reward, terminated, info["outcome"], info["database"]) == (0.0, True, "transfer", False)

    def test_the_step_limit_truncates_without_reward(self):
        env = started(max_steps=1)
        _, reward, terminated, truncated, info = env.step(cancel(env))
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert (info["outcome"], info["database"]) == ("max_steps", True)

    def test_a_customer_who_stops_at_once(self):
        env = started(customer=lambda query: STOP)
        _, _, terminated, _, info = env.step("Hello?")
        assert terminated and info["outcome"] == "stop" and len(env.dialogue) == 1

    def test_no_step_without_an_episode(self):
        env = make()
        for use in (lambda: env.step("Hi"), lambda: env.dialogue):
            with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
                use()
        env = started(max_steps=1)
        env.step("Hi")
        with pytest.raises(ResetNeeded, match="max_steps"):
            env.step("Hi")
        env.close()
        for use in (lambda: env.step("Hi"), env.reset, env.fork):
            with pytest.raises(EnvClosed):
                use()


class TestCalls:
    def test_a_message_asks_the_customer(self):
        env = started()
        (call,) = calls_of(env, "Hello")
        assert (call.handler, call.effect) == ("user", Effect.SAMPLE)
        assert call.query.said == (GREETING, env.dialogue[0]["content"], "Hello")
        assert pickle.loads(pickle.dumps(call.query)) == call.query

    def test_the_customer_does_not_see_tool_calls(self):
        env = started()
        (before,) = calls_of(env, "Hello")
        env.step({"name": "list_all_product_types", "arguments": {}})
        (after,) = calls_of(env, "Hello")
        assert before == after and hash(before) == hash(after)
        assert before != calls_of(env, "Hi")[0]

    def test_instant_tools_may_all_run_ahead(self):
        env = started()
        assert [calls_of(env, action)[0].effect for action in (cancel(env), CANCEL_CALL)] == [Effect.READ] * 2

    def test_a_read_stays_what_it_was_until_a_write_touches_it(self):
        env = started()
        order = {"name": "get_order_details", "arguments": {"order_id": cancel(env)["arguments"]["order_id"]}}
        product = {"name": "list_all_product_types", "arguments": {}}
        before = [calls_of(env, action)[0] for action in (order, product)]
        assert pickle.loads(pickle.dumps(before[0].query)) == before[0].query
        env.step(cancel(env))
        after = [calls_of(env, action)[0] for action in (order, product)]
        assert [a == b for a, b in zip(before, after, strict=True)] == [False, True]

    def test_tools_of_ones_own(self):
        seen: list[ToolQuery] = []

        def shop(query: ToolQuery) -> ToolResponse:
            seen.append(query)
            return instant_tools(query)

        env = started(tools=shop)
        assert calls_of(env, cancel(env))[0].effect is Effect.WRITE
        assert calls_of(env, {"name": "get_user_details", "arguments": {}})[0].effect is Effect.READ
        env.step(cancel(env))
        assert seen[0].name in WRITES and env.episode.store != env.episode.start
        shop.effect = Effect.READ  # type: ignore[attr-defined]
        env = started(tools=shop)
        assert calls_of(env, cancel(env))[0].effect is Effect.READ

    def test_a_tool_may_answer_with_text(self):
        env = started(tools=lambda query: "Fine")
        env.step(cancel(env))
        assert env.dialogue[-1]["content"] == "Fine" and env.episode.store is env.episode.start

    def test_a_customer_with_an_effect_of_its_own(self):
        def person(query: CustomerQuery) -> str:
            return "Hi"

        person.effect = Effect.WRITE  # type: ignore[attr-defined]
        assert calls_of(started(customer=person), "Hello")[0].effect is Effect.WRITE
        person.effect = "write"  # type: ignore[attr-defined]
        with pytest.raises(InvalidConfiguration, match="effect of the handler person must be"):
            make(customer=person)

    def test_a_handler_that_fails_changes_nothing(self):
        def customer(query: CustomerQuery) -> Any:
            if len(query.said) == 1:
                return "Hi"
            if query.said[-1] == "raise":
                raise OSError("no line")
            return None

        env = started(customer=customer, tools=lambda query: 3)
        before = env.episode
        for action, error in (("raise", OSError), ("none", HandlerFailed), (CANCEL_CALL, HandlerFailed)):
            with pytest.raises(error):
                env.step(action)
            assert env.episode is before

    def test_forks_share_nothing_that_changes(self):
        env = started()
        twin = env.fork()
        twin.step(cancel(env))
        assert twin.episode.store != env.episode.store == env.episode.start
        other = env.fork()
        assert env.step("Hi") == other.step("Hi")


def test_speculation_is_lossless():
    def customer(call: Call, k: int) -> list[Any]:
        return [scripted_customer(call.query), "Yes."][:k] if isinstance(call.query, CustomerQuery) else []

    def clerk(call: Call, k: int) -> list[Any]:
        return [ScriptedRetailPolicy()(call.query), "Is there anything else?"][:k]

    guessers: dict[str, Any] = {
        "user": CallableGuesser(customer),
        "policy": CallableGuesser(clerk),
        "tool": FrequencyGuesser(),
    }
    for policy in (ScriptedRetailPolicy(), ScriptedRetailPolicy(error_rate=0.5)):
        assert certify(make, policy, guessers, range(6), runtime="simulation", k=2, max_inflight=4)


def test_tools_that_take_their_time_run_ahead_all_of_them():
    def oracle(call: Call, k: int) -> list[Any]:
        return [instant_tools(call.query) if isinstance(call.query, ToolQuery) else scripted_customer(call.query)]

    guessers = {"user": CallableGuesser(oracle), "tool": CallableGuesser(oracle)}
    env = make(task_index=CANCEL, tools=with_latency(instant_tools, 1.0), customer=with_latency(scripted_customer, 9.0))
    wrapped = SpeculativeWrapper(env, ScriptedRetailPolicy(), guessers=guessers, runtime="simulation")
    observation, _ = wrapped.reset(seed=0)
    done = False
    while not done:
        observation, reward, done, _, _ = wrapped.step(wrapped.act(observation))
    tools = sum(message["role"] == "tool" for message in env.dialogue)
    messages = sum(message["role"] == "user" for message in env.dialogue)
    wrapped.close()
    assert reward == 1.0 and tools > 3
    assert wrapped.statistics.sequential_s == tools + 9.0 * messages
    # Everything is guessed right, so at most a chain of calls that do not fit in the slots has to be waited for.
    assert wrapped.statistics.waited_s < 0.5 * wrapped.statistics.sequential_s


@needs_tau_bench
def test_gold_actions_of_tau_bench_are_rewarded():
    def customer(query: CustomerQuery) -> str:
        return STOP if len(query.said) > 1 else query.task.instruction

    env = make(data=TAU_BENCH, tasks=TAU_BENCH / "tasks_dev.json", split=None, customer=customer, max_steps=None)
    rewards = {}
    for index, task in enumerate(env.tasks):
        rewards[task.name] = play(env, GoldReplay(task), seed=0, options={"task": index})[0]
    assert len(rewards) == 578
    assert [name for name, reward in rewards.items() if reward != 1.0] == []


@needs_tau_bench
def test_tau_benchs_customers_need_a_model():
    env = make(data=TAU_BENCH, tasks=TAU_BENCH / "tasks_dev.json")
    with pytest.raises(InvalidConfiguration, match="no scenario"):
        env.reset(seed=0)


def test_tasks_of_another_shop():
    with pytest.raises(InvalidConfiguration, match="belong to other data"):
        make(tasks=[Task("test", 0, "nobody", "", (Action("think", {"thought": ""}),))])


class TestSeveralCallsInOneAction:
    LOOK = ({"name": "list_all_product_types"}, {"name": "calculate", "arguments": {"expression": "1 + 1"}})

    @pytest.mark.parametrize("form", [list, tuple, json.dumps])
    def test_are_taken_one_after_the_other(self, form):
        one, several = started(), started()
        actions = [*self.LOOK, cancel(one), self.LOOK[1]]
        for action in actions:
            last = one.step(action)
        assert several.step(form(actions)) == last
        assert dataclasses.replace(several.episode, name="") == dataclasses.replace(one.episode, name="")

    def test_end_with_the_episode(self):
        transfer = {"name": "transfer_to_human_agents", "arguments": {"summary": "all"}}
        env = started()
        _, _, terminated, _, info = env.step([self.LOOK[0], transfer, self.LOOK[0]])
        assert terminated and info["steps"] == 2
        env = started(max_steps=2)
        _, _, _, truncated, info = env.step([self.LOOK[0]] * 3)
        assert truncated and info["steps"] == 2

    @pytest.mark.parametrize(
        "wrong", [[], [1], ["Hello."], [{"name": "respond", "kwargs": {"content": "Hello."}}, {"name": "calculate"}]]
    )
    def test_are_nothing_but_calls(self, wrong):
        env = started()
        with pytest.raises(InvalidAction):
            env.step(wrong)
        assert env.episode.steps == 0 and not env.action_space.contains(wrong)

    def test_a_message_may_begin_with_a_bracket(self):
        env = started(customer=lambda query: query.said[-1])
        assert json.loads(env.step("[1] is what I mean")[0]["dialogue"])[-1]["content"] == "[1] is what I mean"
