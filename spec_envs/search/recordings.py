"""Recorded episodes of ReAct on HotpotQA: actions, observations, latencies of the site, and guesses.

``load_episodes`` reads them from a JSON list of objects, one for each episode.

An episode has ``id``, ``question``, ``answer``, ``agent`` and ``guesser`` (names of models), ``k``, and ``steps``. Each
step has the ``action`` (``Search[…]``, ``Lookup[…]``, ``Finish[…]``, or something malformed), the ``observation``, and
the ``env_seconds`` that the site took for it. It also has the predictions of a guesser: ``guessed_actions``, most
likely first, and ``guessed_observation``, with the ``guess_seconds`` that guessing took. The file has neither the
thinking times of the agent nor any costs; see ``replay.py``.
"""

import ast
import dataclasses
import functools
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from spec_envs.checks import integer
from spec_envs.errors import InvalidConfiguration
from spec_envs.json_files import naming, number_of, read_json, text_of, texts_of
from spec_envs.search.actions import MAX_LENGTH, Act, read_action
from spec_envs.search.env import SearchEnv
from spec_envs.search.episode import excerpt, sentences_with
from spec_envs.search.pages import Fetched, Page
from spec_envs.search.questions import Question

_MISSING = re.compile(r"\s*Could not find (\[?).*?\. Similar: (\[.*\])\.?\s*", re.DOTALL)
_RESULT = re.compile(r"\(Result (\d+) / (\d+)\) (.*)", re.DOTALL)


def fetched_of(text: str, observation: str) -> Fetched:
    """A result of a search for ``text`` of which ``SearchEnv`` shows ``observation``."""
    missing = _MISSING.fullmatch(observation)
    if missing is None:
        return Fetched(Page(text, (observation.removesuffix("."),)))  # ``excerpt`` adds the last full stop again
    similar = _list(missing[2])
    if missing[1]:  # "Could not find [text]": a disambiguation page
        return Fetched(Page(text, ("",), similar, disambiguation=True))
    return Fetched(None, similar)


def with_lookup_result(page: Page, keyword: str, observation: str) -> Page:
    """The page with the sentence that a lookup returned, repeated as often as the lookup counted matches."""
    result = _RESULT.fullmatch(observation)
    if result is None:
        return page
    longer, before = page, len(sentences_with(page, keyword))
    while len(sentences_with(longer, keyword)) < int(result[2]):
        longer = dataclasses.replace(longer, paragraphs=(*longer.paragraphs, result[3].strip().removesuffix(".")))
        if excerpt(longer) != excerpt(page) or len(sentences_with(longer, keyword)) == before:
            return page  # the sentence would be shown by a search, or would not be found
    return longer


def _list(text: str) -> tuple[str, ...]:
    try:
        titles = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(map(str, titles)) if isinstance(titles, list) else ()


#: How many steps ReAct allows on HotpotQA.
_MAX_STEPS = 7


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """An action, its result, and a guesser's predictions of both.

    Attributes:
        action: The action as the agent wrote it.
        observation: The result of the action.
        seconds: How long the site took.
        thought: The text that the agent wrote before the action.
        guessed_actions: Predictions of the action, most likely first.
        guessed_observation: Prediction of the result of a search; empty if there was no prediction.
        guess_seconds: How long guessing took. The file has 0 for a step without a search, where guessing was not timed;
            then it is the median of the other steps of the episode, or else of the file.
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
    """A recorded episode."""

    name: str  # the episode's name in tables and errors
    question: Question  # the question with its answer
    agent: str  # the model that acted
    guesser: str  # the model that guessed
    k: int  # how many guesses the guesser was to return at most
    steps: tuple[RecordedStep, ...]  # one or more steps; ``finish`` can only be the last

    @property
    def finished(self) -> bool:
        """Whether the episode ends with an answer."""
        act = read_action(self.steps[-1].action)
        return isinstance(act, Act) and act.name == "finish"

    @property
    def max_steps(self) -> int:
        """The ``max_steps`` with which an environment ends the episode after the same step as the record."""
        return max(_MAX_STEPS, len(self.steps)) if self.finished else len(self.steps)

    @functools.cached_property
    def fetched(self) -> Mapping[str, tuple[Fetched, float]]:
        """By the text of a search: its result, and how many seconds it took. Of equal searches only the first counts.

        The pages are recovered so that ``SearchEnv`` shows what was recorded. The results of lookups are appended to
        their page, if that does not change its first sentences.
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
                found[text] = Fetched(with_lookup_result(fetched.page, act.argument, step.observation)), seconds
        return found

    @functools.cached_property
    def observations(self) -> tuple[Mapping[str, Any], ...]:
        """The observations of ``SearchEnv`` when the recorded actions are replayed: of ``reset``, and of each step."""
        with SearchEnv(
            backend=lambda query: self.fetched[query.text][0], questions=[self.question], max_steps=self.max_steps
        ) as env:
            shown = [env.reset()[0]]
            shown.extend(env.step(step.action)[0] for step in self.steps)
        return tuple(shown)

    @property
    def differences(self) -> tuple[int, ...]:
        """The numbers, from 0, of the steps whose replayed observation differs from the recorded one.

        The reward in the last observation is ignored, since the source scored some answers differently.
        """
        pairs = zip(self.steps, self.observations[1:], strict=True)
        return tuple(
            number
            for number, (step, shown) in enumerate(pairs)
            if _without_reward(shown["observation"]) != _without_reward(step.observation)
        )

    def step_of(self, observation: Mapping[str, Any]) -> int | None:
        """The number, from 0, of the step that was taken on ``observation``; ``None`` if there is no such step."""
        number = self._numbers.get(observation["transcript"])
        return number if observation["question"] == self.question.text else None

    @functools.cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {shown["transcript"]: number for number, shown in enumerate(self.observations[:-1])}


def _without_reward(observation: str) -> str:
    return re.sub(r"(?<=^Episode finished, reward = ).*", "", observation)


def load_episodes(path: str | os.PathLike[str]) -> tuple[RecordedEpisode, ...]:
    """Read recorded episodes from a JSON file. Episodes without a step are left out.

    Raises:
        InvalidConfiguration: The file has another form; the message names the file, the episode and the reason.
        FileNotFoundError: There is no such file.
    """
    data, episodes = read_json(path), []
    if not isinstance(data, list):
        raise InvalidConfiguration(f"{path}: expected a list of episodes")
    for number, entry in enumerate(data):
        with naming(f"{path}, episode {number}"):
            episodes.append(_episode(entry))
    return _with_guess_seconds([episode for episode in episodes if episode.steps])


def _episode(data: Any) -> RecordedEpisode:
    if not isinstance(data, Mapping) or not isinstance(data.get("steps"), list):
        raise TypeError("expected an object with a list 'steps'")
    name, answer = text_of(data["id"], "id"), text_of(data["answer"], "answer")
    steps: list[RecordedStep] = []
    for entry in data["steps"]:
        steps.append(_step(entry))
        act = read_action(steps[-1].action)
        if isinstance(act, Act) and act.name == "finish":
            break
    question = Question(name, text_of(data["question"], "question"), answer, "bridge")
    k = integer("k", data.get("k", 1), least=1)
    return RecordedEpisode(
        name, question, text_of(data["agent"], "agent"), text_of(data["guesser"], "guesser"), k, tuple(steps)
    )


def _step(data: Any) -> RecordedStep:
    if not isinstance(data, Mapping):
        raise TypeError(f"a step is an object, not {data!r:.200}")
    guesses = texts_of(data.get("guessed_actions") or [], "guessed_actions")
    action = text_of(data["action"], "action")
    if len(action) > MAX_LENGTH:
        raise ValueError(f"an action has at most {MAX_LENGTH} characters, not {len(action)}: {action[:100]!r}…")
    return RecordedStep(
        action=action,
        observation=text_of(data["observation"], "observation"),
        seconds=number_of(data.get("env_seconds") or 0.0, "env_seconds"),
        thought=text_of(data.get("thought") or "", "thought"),
        guessed_actions=tuple(guess for guess in guesses if len(guess) <= MAX_LENGTH),
        guessed_observation=text_of(data.get("guessed_observation") or "", "guessed_observation"),
        guess_seconds=number_of(data.get("guess_seconds") or 0.0, "guess_seconds"),
    )


def _with_guess_seconds(episodes: Sequence[RecordedEpisode]) -> tuple[RecordedEpisode, ...]:
    timed = [[step.guess_seconds for step in episode.steps if step.guess_seconds] for episode in episodes]
    overall = statistics.median([seconds for each in timed for seconds in each] or [0.0])
    result = []
    for episode, each in zip(episodes, timed, strict=True):
        usual = statistics.median(each or [overall])
        steps = (dataclasses.replace(step, guess_seconds=step.guess_seconds or usual) for step in episode.steps)
        result.append(dataclasses.replace(episode, steps=tuple(steps)))
    return tuple(result)
