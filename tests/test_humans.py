"""People at a real (pseudo-)terminal: asked once, never on a branch, while the agent works ahead on what they type."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import gymnasium as gym
import pytest

from spec_envs import CancelToken
from spec_envs.agents import BuiltinChessPolicy, CallableGuesser, ScriptedRetailPolicy
from spec_envs.benchmarks.play import likely_replies
from spec_envs.chess.opponents import HumanOpponent
from spec_envs.retail.unscripted_customers import HumanCustomer
from spec_envs.terminal import Terminal
from spec_envs.wrappers import SpeculativeWrapper

_TIMEOUT_S = 60.0
OPENING = "I would like to return the Wool Blanket and the Car Charger from order #W5145625"
#: What a person types in the two games; the last word of the customer ends the conversation.
MOVES = ["e7e5", "Nc6", "d7d5"]
REPLIES = [OPENING, "esther.ramos9603@example.com", "Your gift card.", "yes", "stop"]


class Screen:
    """The other side of a pseudo-terminal: reads what is shown there, and types."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.shown = ""

    def wait_for(self, text: str, count: int) -> None:
        """Until ``text`` has been shown so often."""
        while self.shown.count(text) < count:
            assert select.select([self._master], [], [], _TIMEOUT_S)[0], f"nothing more after: {self.shown}"
            self.shown += os.read(self._master, 65536).decode().replace("\r\n", "\n")

    def read_all(self) -> None:
        """Until the other side hangs up."""
        try:
            while select.select([self._master], [], [], _TIMEOUT_S)[0] and (read := os.read(self._master, 65536)):
                self.shown += read.decode().replace("\r\n", "\n")
        except OSError:  # Linux says so when nobody holds the other side any more
            pass

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())


@contextmanager
def terminal() -> Iterator[tuple[Screen, TextIO, TextIO]]:
    """A screen, and the input and output of the program that runs there."""
    master, slave = pty.openpty()
    try:
        assert os.isatty(slave)
        with open(slave, encoding="utf-8", closefd=False) as reads, open(slave, "w", closefd=False) as writes:
            yield Screen(master), reads, writes
    finally:
        os.close(slave)
        os.close(master)


class Case(NamedTuple):
    """A person's part in an environment.

    Attributes:
        make: The environment with that person, of input and output.
        policy: The agent.
        handler: The name of the person's calls.
        prompt: What a question ends with.
        typed: The answers.
        guess: What the person may type, by call.
        heard: What an observation says of the person's last answer, as it was typed.
    """

    make: Callable[[TextIO, TextIO], Any]
    policy: Any
    handler: str
    prompt: str
    typed: Sequence[str]
    guess: Callable[..., Sequence[str]]
    heard: Callable[[Any], str | None]


def chess_env(reads: TextIO, writes: TextIO) -> Any:
    return gym.make("SpecChess-v0", opponent=HumanOpponent(reads, writes), max_plies=6)


def retail_env(reads: TextIO, writes: TextIO) -> Any:
    return gym.make("SpecRetail-v0", customer=HumanCustomer(reads, writes), task_index=3)


def last_reply(observation: Any) -> str | None:
    """The move that black has just made."""
    history = observation["history"].split()
    return {"e7e5": "e7e5", "b8c6": "Nc6", "d7d5": "d7d5"}.get(history[-1]) if history else None


def last_message(observation: Any) -> str | None:
    last = json.loads(observation["dialogue"])[-1]
    return last["content"] if last["role"] == "user" else None


CASES = [
    pytest.param(
        Case(
            chess_env,
            lambda observation: BuiltinChessPolicy()(observation, CancelToken()),
            "opponent",
            "lists the legal ones): ",
            MOVES,
            lambda call, k: [["e7e5", "b8c6", "d7d5"][len(call.query.moves) // 2]],
            last_reply,
        ),
        id="chess",
    ),
    pytest.param(
        Case(
            retail_env, ScriptedRetailPolicy(), "user", "You: ", REPLIES, lambda call, k: typed_next(call), last_message
        ),
        id="retail",
    ),
]


def typed_next(call: Any) -> Sequence[str]:
    """What the customer will type; the end of the conversation is guessed as the program knows it."""
    answer = REPLIES[len(call.query.said) // 2]
    return [answer] if answer != "stop" else likely_replies(call, 1)


def play(env: Any, act: Callable[[Any], Any]) -> list[Any]:
    observation, _ = env.reset(seed=0)
    seen, done = [observation], False
    while not done:
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        seen.append((observation, reward, terminated, truncated))
        done = terminated or truncated
    return seen


def at_the_terminal(case: Case, ready: Callable[[int], None], run: Callable[[TextIO, TextIO], Any]) -> tuple[Any, str]:
    """What ``run`` gives while somebody types, each answer once it is asked for and ``ready`` has returned."""
    with terminal() as (screen, reads, writes):
        failures: list[BaseException] = []

        def typist() -> None:
            try:
                for number, answer in enumerate(case.typed):
                    screen.wait_for(case.prompt, number + 1)
                    ready(number)
                    screen.type(answer)
            except BaseException as error:
                failures.append(error)
                screen.type("\x04" * 2)  # the end of the input, so that nobody waits for the rest

        person = threading.Thread(target=typist)
        person.start()
        try:
            result = run(reads, writes)
        finally:
            person.join()
        assert not failures, failures
        return result, screen.shown


@pytest.mark.parametrize("case", CASES)
def test_the_agent_has_its_answer_before_the_person_has_typed(case):
    """The person types each answer only after the agent has finished thinking about it, on a branch."""
    thought = {answer: threading.Event() for answer in case.typed}
    ahead: list[str] = []

    def agent(observation: Any) -> Any:
        action = case.policy(observation)
        if (answer := case.heard(observation)) in thought:
            ahead.append(answer)
            thought[answer].set()
        return action

    def wait_for_the_agent(number: int) -> None:
        answer = case.typed[number]
        if number < len(case.typed) - 1:  # after the last one the episode is over, and there is nothing to think about
            assert thought[answer].wait(_TIMEOUT_S), f"the agent has not thought about {answer!r} while it was awaited"

    def speculative(reads: TextIO, writes: TextIO) -> Any:
        guessers: dict[str, Any] = {case.handler: CallableGuesser(case.guess)}
        env = SpeculativeWrapper(case.make(reads, writes), agent, guessers=guessers, k=2, max_inflight=4, guard=False)
        with env:
            return play(env, env.act), env.statistics, list(env.trace)

    (seen, statistics, trace), shown = at_the_terminal(case, wait_for_the_agent, speculative)
    plain, shown_plainly = at_the_terminal(
        case, lambda number: None, lambda reads, writes: play(case.make(reads, writes), case.policy)
    )
    assert seen == plain
    assert shown.count(case.prompt) == shown_plainly.count(case.prompt) == len(case.typed)  # asked once each
    asked = [event for event in trace if event.handler == case.handler and event.kind == "start"]
    assert len(asked) == len(case.typed) and not any(event.speculative for event in asked)
    assert sorted(ahead) == sorted(set(ahead)) and set(ahead) == set(case.typed[:-1])  # thought about once each
    assert statistics.hits >= len(case.typed) - 1


def command(*args: str, typed: Sequence[str], prompt: str) -> tuple[int, str]:
    """Exit code and screen of the command line in a terminal of its own, where somebody answers each prompt."""
    master, slave = pty.openpty()
    screen = Screen(master)
    try:
        program = Path(sys.executable).with_name("spec-envs")
        process = subprocess.Popen([program, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        with process:
            for number, answer in enumerate(typed):
                screen.wait_for(prompt, number + 1)
                screen.type(answer)
            screen.read_all()
            return process.wait(_TIMEOUT_S), screen.shown
    finally:
        os.close(master)


@pytest.mark.parametrize(
    ("errors", "typed", "heard"),
    [
        ("surrogateescape", b"caf\xc3\xa9 \xff\n", "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{REPLACEMENT CHARACTER}"),
        ("strict", b"\xff\n", None),
    ],
)
def test_bytes_that_are_no_text_do_not_end_the_game(errors, typed, heard):
    """As Python opens the terminal in the C locale, and in others."""
    encoding = "ascii" if errors == "surrogateescape" else "utf-8"
    shown = io.StringIO()
    master, slave = pty.openpty()
    with open(slave, encoding=encoding, errors=errors) as reads:
        os.write(master, typed + b"at last\n")
        answer = Terminal(reads, shown).ask("", "> ", str, CancelToken(), awaited="it")
    os.close(master)
    assert answer == (heard or "at last")
    assert ("cannot be read as text" in shown.getvalue()) == (heard is None)


class TestCommands:
    def test_chess(self):
        code, shown = command(
            "play", "chess", "--plies", "4", "--agent-seconds", "0.05", typed=["e5", "x", "d5"], prompt="legal ones): "
        )
        assert code == 0, shown
        assert shown.count("The agent plays") == 2 and shown.count("s after you; it has thought for 0.1 s]") == 2
        assert "'x' is not one legal move here" in shown
        assert "You waited" in shown and "The game ends: that was the last move." in shown

    def test_retail(self):
        code, shown = command("play", "retail", "--agent-seconds", "0.01", typed=REPLIES, prompt="You: ")
        assert code == 0, shown
        assert shown.count("You are the customer. Your name is Esther Ramos") == 1
        assert shown.count("Agent: ") == shown.count("You: ") == len(REPLIES)
        assert "The conversation ends (stop). The data are as they should be" in shown

    def test_the_end_of_the_input(self):
        code, shown = command("play", "retail", "--agent-seconds", "0", typed=["\x04"], prompt="You: ")
        assert code == 0
        assert "Nothing more is played: the input ended before the customer's answer" in shown

    def test_an_unknown_task(self):
        code, shown = command("play", "retail", "--task", "test-99", typed=[], prompt="")
        assert code == 2 and "there is no task 'test-99'" in shown
