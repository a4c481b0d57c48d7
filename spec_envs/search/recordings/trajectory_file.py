"""The file format of recorded episodes: a JSON list of objects, one for each episode.

An episode has ``id``, ``question``, ``answer``, ``agent`` and ``guesser`` (names of models), ``k``, and ``steps``. Each
step has the ``action`` (``Search[…]``, ``Lookup[…]``, ``Finish[…]``, or something malformed), the ``observation``, and
the ``env_seconds`` that the site took for it. It also has the predictions of a guesser: ``guessed_actions``, most
likely first, and ``guessed_observation``, with the ``guess_seconds`` that guessing took. The file has neither the
thinking times of the agent nor any costs; see ``replay.py``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.actions import MAX_LENGTH, Act, read_action
from spec_envs.search.questions import Question
from spec_envs.search.recordings.trajectories import RecordedEpisode, RecordedStep


def load_episodes(path: str | os.PathLike[str]) -> tuple[RecordedEpisode, ...]:
    """Read recorded episodes from a JSON file. Episodes without a step are left out.

    Raises:
        InvalidConfiguration: The file has another form; the message names the file, the episode and the reason.
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
