"""Customers that a model, a recording or a person plays."""

from __future__ import annotations

import io
import json
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import CancelToken, Effect
from spec_envs.agents import ChatCustomer, ScriptedRetailPolicy
from spec_envs.agents.llm import ChatRequest, Completion
from spec_envs.conversation import (
    Conversation,
    Trajectory,
    UserMessage,
    from_chat,
    read_trajectories,
    tools_from_schemas,
    write_trajectories,
)
from spec_envs.errors import HandlerFailed, InvalidConfiguration, RecordMissing
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.loading import load_tasks
from spec_envs.retail.queries import GREETING, STOP, CustomerQuery
from spec_envs.retail.tasks import Action, Identity, Request, Scenario, Task
from spec_envs.retail.unscripted_customers import HumanCustomer, RecordedCustomer
from spec_envs.wrappers import SimulationRuntime, certify
from spec_envs.wrappers.handlers import record, replay, with_latency
from spec_envs.wrappers.recording import Recording
from tests.retail.shops import TAU_BENCH, needs_tau_bench

TASK = load_tasks("embedded", "test")[3]


def play(customer: Any, policy: Any = None, seed: int = 0, task: int = 3) -> Any:
    """An episode, played to its end."""
    env: Any = gym.make("SpecRetail-v0", customer=customer, task_index=task).unwrapped
    policy = policy or ScriptedRetailPolicy()
    observation, _ = env.reset(seed=seed)
    done = False
    while not done:
        observation, env.reward, terminated, truncated, _ = env.step(policy(observation))
        done = terminated or truncated
    return env


class ModelInThePart:
    """A model that plays a task's customer: it reads the dialogue from its request, and answers as the script does."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.requests: list[ChatRequest] = []

    def __call__(self, query: ChatRequest, cancel: CancelToken) -> Completion:
        self.requests.append(query)
        said = tuple(message["content"] for message in query.messages[1:])
        return Completion(text=f"  {scripted_customer(CustomerQuery(said, self.task, 7))}\n")


class TestChatCustomer:
    def test_plays_an_episode(self):
        model = ModelInThePart(TASK)
        env = play(ChatCustomer(model))
        assert (env.reward, env.episode.outcome) == (1.0, "stop")
        first, last = model.requests[0].messages, model.requests[-1].messages
        assert [message["role"] for message in first] == ["system", "user"] and first[1]["content"] == GREETING
        assert TASK.instruction in first[0]["content"] and STOP in first[0]["content"]
        assert [message["role"] for message in last[1:]] == ["user", "assistant"] * (len(last) // 2 - 1) + ["user"]
        assert all(message["content"] == text for message, text in zip(last[1:], env.episode.said, strict=False))
        assert not any("tool_calls" in message or message["role"] == "tool" for message in last)

    def test_draws(self):
        assert ChatCustomer(ModelInThePart(TASK)).effect is Effect.SAMPLE

    def test_an_instruction_with_braces(self):
        task = Task("test", 0, "", "You say {hello}.", ())
        request: list[ChatRequest] = []
        customer = ChatCustomer(lambda query, cancel: request.append(query) or Completion(text="Hi"))
        assert customer(CustomerQuery((GREETING,), task, 0), CancelToken()) == "Hi"
        assert "You say {hello}." in request[0].messages[0]["content"]

    def test_nothing_is_asked_for_once_more(self):
        texts = ["  ", "Hello"]
        customer = ChatCustomer(lambda query, cancel: Completion(text=texts.pop(0)))
        assert customer(CustomerQuery((GREETING,), TASK, 0), CancelToken()) == "Hello"
        customer = ChatCustomer(lambda query, cancel: Completion())
        with pytest.raises(HandlerFailed, match=r"task 'test-3' gave 2 empty answers to 'Hi! How can I"):
            customer(CustomerQuery((GREETING,), TASK, 0), CancelToken())


class TestRecordedCustomer:
    def test_replays_an_episode_from_a_file(self, tmp_path):
        first = play("scripted")
        tools = tools_from_schemas(json.loads(first._observation(first.episode)["tools"]))
        conversation = from_chat(first.dialogue, tools)
        write_trajectories(tmp_path / "one.jsonl", [Trajectory(conversation, first.episode.task.name, first.reward)])
        (read,) = read_trajectories(tmp_path / "one.jsonl")
        again = play(RecordedCustomer(read.conversation), seed=99)
        assert (again.dialogue, again.reward) == (first.dialogue, first.reward)

    def test_is_silent_where_the_agent_says_something_else(self):
        customer = RecordedCustomer(from_chat(play("scripted").dialogue))
        env: Any = gym.make("SpecRetail-v0", customer=customer, task_index=3).unwrapped
        env.reset(seed=0)
        before = env.episode
        with pytest.raises(RecordMissing, match=r"message 1 of the agent is 'Who are you\?', and the"):
            env.step("Who are you?")
        assert env.episode is before

    def test_says_no_more_than_was_recorded(self):
        customer = RecordedCustomer(Conversation((UserMessage("Hi"),)))
        assert customer(CustomerQuery((GREETING,), TASK, 0)) == "Hi"
        with pytest.raises(RecordMissing, match="speaks 1 times, and the agent has answered once more: 'Hello'"):
            customer(CustomerQuery((GREETING, "Hi", "Hello"), TASK, 0))
        with pytest.raises(InvalidConfiguration, match="no message of a customer"):
            RecordedCustomer(Conversation(()))

    @needs_tau_bench
    def test_replays_tau_benchs_own_recordings(self):
        trajectories = read_trajectories(TAU_BENCH / "airline_gpt4o_train.json")
        entries = json.loads((TAU_BENCH / "airline_gpt4o_train.json").read_text(encoding="utf-8"))
        for trajectory, entry in zip(trajectories, entries, strict=True):
            customer = RecordedCustomer(trajectory.conversation)
            said: tuple[str, ...] = (GREETING,)
            for message, following in zip(entry["traj"], entry["traj"][1:], strict=False):
                if message["role"] == "system":
                    said = (*said, customer(CustomerQuery(said, TASK, 0)))
                    assert said[-1] == following["content"]
                elif following["role"] == "user":
                    said = (*said, message["content"])
                    said = (*said, customer(CustomerQuery(said, TASK, 0)))
                    assert said[-1] == following["content"]
        assert len(trajectories) == 100

    def test_is_lossless(self):
        recorded = RecordedCustomer(from_chat(play("scripted").dialogue))
        assert certify(
            lambda: gym.make("SpecRetail-v0", customer=recorded, task_index=3),
            ScriptedRetailPolicy(),
            {},
            [0],
            runtime="simulation",
        )


def test_calls_of_any_customer_can_be_recorded_and_replayed_with_their_times(tmp_path):
    types = [CustomerQuery, Task, Action, Scenario, Identity, Request]
    recording, runtime = Recording(types=types), SimulationRuntime()
    first = play(with_tokens(record(with_latency(scripted_customer, 9.0), recording), runtime))
    recording.save(tmp_path / "customer.jsonl")
    loaded = Recording.load(tmp_path / "customer.jsonl", types=types)
    assert [call.seconds for call in loaded] == [9.0] * (len(first.episode.said) // 2)
    assert play(with_tokens(replay(loaded), runtime)).dialogue == first.dialogue
    with pytest.raises(RecordMissing):
        play(with_tokens(replay(loaded), runtime), seed=1)


def with_tokens(handler: Any, runtime: SimulationRuntime) -> Any:
    """``handler`` in virtual time."""
    return lambda query: handler(query, runtime.token())


class TestHumanCustomer:
    def ask(self, typed: str, said: tuple[str, ...] = (GREETING,)) -> tuple[str, str]:
        output = io.StringIO()
        customer = HumanCustomer(io.StringIO(typed), output)
        return customer(CustomerQuery(said, TASK, 0), CancelToken()), output.getvalue()

    def test_is_shown_the_part_once_and_then_what_the_agent_says(self):
        answer, shown = self.ask("I want a lamp.\n")
        assert answer == "I want a lamp."
        assert TASK.instruction in shown and "stop" in shown and f"Agent: {GREETING}" in shown
        answer, shown = self.ask("Yes\n", (GREETING, "I want a lamp.", "Which one?"))
        assert answer == "Yes" and shown == "\nAgent: Which one?\nYou: "

    @pytest.mark.parametrize(("typed", "answer"), [("stop", STOP), (" Stop ", STOP), (f"Bye {STOP}", f"Bye {STOP}")])
    def test_ends_the_conversation(self, typed, answer):
        assert self.ask(f"{typed}\n")[0] == answer

    def test_is_asked_again_after_an_empty_line(self):
        answer, shown = self.ask("\n  \nstop it\n")
        assert answer == "stop it" and shown.count("You: ") == 3 and shown.count("Say something") == 2

    def test_hangs_up(self):
        with pytest.raises(HandlerFailed, match="the input ended before the customer's answer to 'Hi! How"):
            self.ask("")

    def test_by_name(self, monkeypatch, capsys):
        monkeypatch.setattr("sys.stdin", io.StringIO("Hello\nstop\n"))
        env: Any = gym.make("SpecRetail-v0", customer="human", task_index=3).unwrapped
        env.reset(seed=0)
        assert env.step("What can I do for you?")[2] is True
        assert "What can I do for you?" in capsys.readouterr().out
        assert env.episode.said == (GREETING, "Hello", "What can I do for you?", STOP)
