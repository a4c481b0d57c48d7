"""Recorded episodes of ReAct on HotpotQA: who did what, what the site returned after how long, and what was guessed.

A record is a JSON list of episodes. Each has ``id``, ``question``, ``answer``, ``agent`` and ``guesser`` (names of
models), ``k``, and ``steps``: ``action`` (``Search[…]``, ``Lookup[…]``, ``Finish[…]``, or something malformed),
``observation`` with the ``env_seconds`` of the real call, and what a guesser predicted: ``guessed_actions``, most
likely first, and ``guessed_observation``, with the ``guess_seconds`` of guessing. What the agent's calls took and what
anything cost is not recorded; see ``replay.py``.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import math
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.actions import MAX_LENGTH, Act, read_action
from spec_envs.search.corpus.pages import Fetched, Page
from spec_envs.search.env import SearchEnv
from spec_envs.search.observations import excerpt, sentences_with
from spec_envs.search.questions import Question

#: Steps that an agent of ReAct has on HotpotQA.
_MAX_STEPS = 7
_MISSING = re.compile(r"\s*Could not find (\[?).*?\. Similar: (\[.*\])\.?\s*", re.DOTALL)
_RESULT = re.compile(r"\(Result (\d+) / (\d+)\) (.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """An action, what it returned, and what a guesser had predicted of both.

    Attributes:
        action: As the agent wrote it.
        observation: What it returned.
        seconds: How long the site took.
        thought: What the agent wrote before the action.
        guessed_actions: What it might do, most likely first.
        guessed_observation: What a search might return; empty where that was not guessed.
        guess_seconds: How long guessing took. Where the record has 0 (for a step without a search only the action was
            guessed, and that was not timed) it is the median of the episode's other steps, or else of the file's.
    """

    action: str
    observation: str
    seconds: float = 0.0
    thought: str = ""
    guessed_actions: tuple[str, ...] = ()
    guessed_observation: str = ""
    guess_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class RecordedEpisode:
    """An episode that was run once.

    Attributes:
        name: What to call it in tables and errors.
        question: The question and its answer.
        agent: The model that acted.
        guesser: The model that guessed.
        k: Guesses that were asked for.
        steps: At least one; none after the first ``finish``.
    """

    name: str
    question: Question
    agent: str
    guesser: str
    k: int
    steps: tuple[RecordedStep, ...]

    @property
    def finished(self) -> bool:
        """Whether it ends with an answer."""
        act = read_action(self.steps[-1].action)
        return isinstance(act, Act) and act.name == "finish"

    @property
    def max_steps(self) -> int:
        """``max_steps`` of an environment in which the episode ends where it did: ReAct's 7, unless it ended sooner."""
        return max(_MAX_STEPS, len(self.steps)) if self.finished else len(self.steps)

    @functools.cached_property
    def fetched(self) -> Mapping[str, tuple[Fetched, float]]:
        """By what was searched for: what was found, and after how many seconds; of a text that comes again the first.

        The pages are made so that ``SearchEnv`` shows of them what was recorded. A page that was looked into goes on
        with what the lookups returned, where that does not change its first sentences.
        """
        found: dict[str, tuple[Fetched, float]] = {}
        text = ""
        for step in self.steps:
            act = read_action(step.action)
            if not isinstance(act, Act) or act.name == "finish":
                continue
            if act.name == "search":
                if act.argument not in found:
                    found[act.argument] = fetched_of(act.argument, step.observation), step.seconds
                if found[act.argument][0].page is not None:
                    text = act.argument
            elif text:
                fetched, seconds = found[text]
                assert fetched.page is not None
                found[text] = Fetched(_with_result(fetched.page, act.argument, step.observation)), seconds
        return found

    @functools.cached_property
    def observations(self) -> tuple[Mapping[str, Any], ...]:
        """What ``SearchEnv`` returns when the recorded actions are played: from ``reset``, and after each step."""
        with SearchEnv(
            backend=lambda query: self.fetched[query.text][0], questions=[self.question], max_steps=self.max_steps
        ) as env:
            shown = [env.reset()[0]]
            shown.extend(env.step(step.action)[0] for step in self.steps)
        return tuple(shown)

    @property
    def differences(self) -> tuple[int, ...]:
        """The steps (0 is the first) whose replayed observation is not the recorded one.

        The reward in the last one does not count: the source scored some answers in another way.
        """
        pairs = zip(self.steps, self.observations[1:], strict=True)
        return tuple(
            number
            for number, (step, shown) in enumerate(pairs)
            if _without_reward(shown["observation"]) != _without_reward(step.observation)
        )

    def step_of(self, observation: Mapping[str, Any]) -> int | None:
        """The number of the step that was taken on ``observation`` (0 is the first), or ``None`` if none was."""
        number = self._numbers.get(observation["transcript"])
        return number if observation["question"] == self.question.text else None

    @functools.cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {shown["transcript"]: number for number, shown in enumerate(self.observations[:-1])}


def load_episodes(path: str | os.PathLike[str]) -> tuple[RecordedEpisode, ...]:
    """Read recorded episodes from a JSON file; those without a step are left out.

    Raises:
        InvalidConfiguration: The file is no such record; names the file, the episode and what is wrong with it.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # both broken JSON and broken UTF-8
        _refuse(str(path), None, f"not a JSON file: {error}")
    if not isinstance(data, list):
        _refuse(str(path), None, "expected a list of episodes")
    episodes = []
    for number, entry in enumerate(data):
        try:
            episodes.append(_episode(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            _refuse(str(path), number, f"{error} is missing" if isinstance(error, KeyError) else str(error))
    return _with_guess_seconds([episode for episode in episodes if episode.steps])


def fetched_of(text: str, observation: str) -> Fetched:
    """What a search for ``text`` must have found, if ``SearchEnv`` showed ``observation`` of it."""
    missing = _MISSING.fullmatch(observation)
    if missing is None:
        return Fetched(_page(text, observation))
    similar = _list(missing[2])
    if missing[1]:  # "Could not find [text]": a page that lists what the name may mean
        return Fetched(Page(text, ("",), similar, disambiguation=True))
    return Fetched(None, similar)


# -- pages from observations ---------------------------------------------------------------------------------------


def _page(text: str, observation: str) -> Page:
    """A page whose first sentences are ``observation``: a full stop is added to each again when they are shown."""
    return Page(text, (observation.removesuffix("."),))


def _with_result(page: Page, keyword: str, observation: str) -> Page:
    """The page with the sentence that a lookup returned, and with as many others as it counted."""
    result = _RESULT.fullmatch(observation)
    if result is None:
        return page
    longer = page
    while len(sentences_with(longer, keyword)) < int(result[2]):
        longer = dataclasses.replace(longer, paragraphs=(*longer.paragraphs, result[3].strip().removesuffix(".")))
        if excerpt(longer) != excerpt(page) or len(sentences_with(longer, keyword)) == len(
            sentences_with(page, keyword)
        ):
            return page  # it would show, or would not be found
    return longer


def _list(text: str) -> tuple[str, ...]:
    try:
        titles = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(map(str, titles)) if isinstance(titles, list) else ()


def _without_reward(observation: str) -> str:
    return re.sub(r"(?<=^Episode finished, reward = ).*", "", observation)


# -- reading a record ----------------------------------------------------------------------------------------------


def _refuse(source: str, number: int | None, what: str) -> NoReturn:
    where = "" if number is None else f", episode {number}"
    raise InvalidConfiguration(f"{source}{where}: {what}")


def _episode(data: Any) -> RecordedEpisode:
    if not isinstance(data, Mapping) or not isinstance(data.get("steps"), list):
        raise TypeError("expected an object with a list 'steps'")
    name, answer = _text(data, "id"), _text(data, "answer")
    steps: list[RecordedStep] = []
    for entry in data["steps"]:
        steps.append(_step(entry))
        act = read_action(steps[-1].action)
        if isinstance(act, Act) and act.name == "finish":
            break
    question = Question(name, _text(data, "question"), answer, "bridge")
    k = data.get("k", 1)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"'k' must be a whole number of at least 1, not {k!r}")
    return RecordedEpisode(name, question, _text(data, "agent"), _text(data, "guesser"), k, tuple(steps))


def _step(data: Any) -> RecordedStep:
    if not isinstance(data, Mapping):
        raise TypeError(f"a step is an object, not {data!r:.200}")
    guesses = data.get("guessed_actions") or []
    if not isinstance(guesses, list) or not all(isinstance(guess, str) for guess in guesses):
        raise TypeError(f"'guessed_actions' must be a list of texts, not {guesses!r:.200}")
    action = _text(data, "action")
    if len(action) > MAX_LENGTH:
        raise ValueError(f"an action has at most {MAX_LENGTH} characters, not {len(action)}: {action[:100]!r}…")
    return RecordedStep(
        action=action,
        observation=_text(data, "observation"),
        seconds=_number(data, "env_seconds"),
        thought=_text(data, "thought", ""),
        guessed_actions=tuple(guess for guess in guesses if len(guess) <= MAX_LENGTH),
        guessed_observation=_text(data, "guessed_observation", ""),
        guess_seconds=_number(data, "guess_seconds"),
    )


def _text(data: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = data[name] if default is None else data.get(name) or default
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be text, not {value!r:.200}")
    return value


def _number(data: Mapping[str, Any], name: str) -> float:
    value = data.get(name) or 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"'{name}' must be a number of at least 0, not {value!r}")
    return value


def _with_guess_seconds(episodes: Sequence[RecordedEpisode]) -> tuple[RecordedEpisode, ...]:
    timed = [[step.guess_seconds for step in episode.steps if step.guess_seconds] for episode in episodes]
    overall = statistics.median([seconds for each in timed for seconds in each] or [0.0])
    result = []
    for episode, each in zip(episodes, timed, strict=True):
        usual = statistics.median(each or [overall])
        steps = (dataclasses.replace(step, guess_seconds=step.guess_seconds or usual) for step in episode.steps)
        result.append(dataclasses.replace(episode, steps=tuple(steps)))
    return tuple(result)
