"""Prompts for the tuning of a machine, for observations as text (``observation="text"``)."""

import contextlib
import json
from typing import Any

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts.base import GuessPrompt, Past, PolicyPrompt, best_first, user_message
from spec_envs.json_files import parsed

#: Under these names a model says why it chooses a setting.
_REMARKS = ("reason", "reasoning", "thought", "explanation", "rationale", "comment", "why")
_SYSTEM = "You tune the settings of computers. You change them in large steps first, and keep what has done best."


def _situation(observation: Any) -> str:
    """Return the knobs, the windows so far, and the state of the machine in words."""
    report = _report(observation)
    knobs = "\n".join(f"- {name}: {json.dumps(described)}" for name, described in report["knobs"].items())
    windows = "\n".join(json.dumps(window) for window in report["windows"])
    return (
        f"Workload: {report['workload']}. Goal: {report['goal']}.\nKnobs:\n{knobs}\n"
        f"What was set and measured, window by window ({report['units']}):\n{windows}\n"
        f"The machine in the last one: {json.dumps(report['machine'])}"
    )


def _report(observation: Any) -> dict[str, Any]:
    if not isinstance(observation, str):
        raise ValueError('a chat model tunes by text: make the environment with observation="text"')
    report: dict[str, Any] = json.loads(observation)
    return report


def _form(observation: Any) -> str:
    last = _report(observation)["windows"][-1]["knobs"]
    return f"a JSON object such as {json.dumps(last)}"


def _request(observation: Any) -> ChatRequest:
    text = (
        f"{_situation(observation)}\n\nChoose the setting of the next window. "
        f"End your answer with {_form(observation)} on a line of its own."
    )
    return ChatRequest(messages=({"role": "system", "content": _SYSTEM}, user_message(text)))


def _guesses_request(observation: Any, k: int, past: Past) -> ChatRequest:
    form = f"each {_form(observation)}"
    text = f"{_situation(observation)}\n\nSomebody tunes this. {best_first(k, 'settings to be tried next', form)}"
    return ChatRequest(messages=({"role": "system", "content": _SYSTEM}, user_message(text)))


def _setting(text: str, observation: Any) -> str:
    """Return the setting that the last JSON object in ``text`` names, as JSON text with all knobs in order."""
    report = _report(observation)
    found = _last_object(text)
    if found is None:
        raise ValueError(f"{text[-200:]!r} holds no JSON object")
    knobs: dict[str, Any] = report["knobs"]
    found = {name: value for name, value in found.items() if name in knobs or not _is_remark(name, value)}
    if unknown := [name for name in found if name not in knobs]:
        raise ValueError(f"there is no knob {unknown[0]!r}; there are {', '.join(knobs)}")
    setting = {name: found.get(name, now) for name, now in report["windows"][-1]["knobs"].items()}
    setting = {name: value if "choices" in knobs[name] else _number(value) for name, value in setting.items()}
    for name, value in setting.items():
        _check(name, value, knobs[name])
    return json.dumps(setting)


def _is_remark(name: str, value: Any) -> bool:
    """Whether a value is what the model says about the setting."""
    return name.lower() in _REMARKS and isinstance(value, str)


def _number(value: Any) -> Any:
    """``value``, or the number that it is as text."""
    number = parsed(value) if isinstance(value, str) else None
    return number if type(number) in (int, float) else value


def _check(name: str, value: Any, described: dict[str, Any]) -> None:
    choices = described.get("choices")
    if choices is not None:
        if str(value) not in choices:
            raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is a number, not {value!r}")
    elif not described["low"] <= value <= described["high"]:
        raise ValueError(f"{name} lies between {described['low']:g} and {described['high']:g}, and {value!r} does not")


def _last_object(text: str) -> dict[str, Any] | None:
    """Return the last JSON object that names something; one that names nothing if there is no other."""
    decoder, at = json.JSONDecoder(), text.rfind("{")
    last: dict[str, Any] | None = None
    while at >= 0 and not last:
        with contextlib.suppress(ValueError, RecursionError):
            last = decoder.raw_decode(text, at)[0]
        at = text.rfind("{", 0, at)
    return last


#: For ``ChatPolicy``: the next setting, as JSON text.
TUNING = PolicyPrompt(request=_request, read=lambda completion, observation: _setting(completion.text, observation))
#: For ``ChatGuesser``: the tuner's next setting. Two settings are the same if their values are the same on the grids.
TUNING_GUESSES = {"policy": GuessPrompt(request=_guesses_request, read=_setting)}
