"""The prompt for guesses of an agent's next action in ``SpecSearch-v0``. (``ReActPolicy`` has the policy's prompt.)."""

from __future__ import annotations

import json
import re
from typing import Any

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts.base import GuessPrompt, Past, best_first, user_message

_ACTION = re.compile(r"\b(search|lookup|finish)\[(.*)\]", re.IGNORECASE | re.DOTALL)


def _request(observation: Any, k: int, past: Past) -> ChatRequest:
    steps = json.loads(observation["transcript"])
    seen = [f"Action: {step['action']}\nObservation: {' '.join(step['observation'].split())}" for step in steps]
    what = (
        "An agent answers a question with an encyclopedia. Its actions: search[entity] shows the page of that name, "
        "lookup[keyword] the next sentence on it with the keyword, finish[answer] ends with the answer."
    )
    text = "\n".join([what, "", f"Question: {observation['question']}", *seen, ""])
    return ChatRequest(messages=(user_message(f"{text}\n{best_first(k, 'next actions', 'such as search[Earth]')}"),))


def _read(line: str, observation: Any) -> str:
    found = _ACTION.search(line)
    if found is None:
        raise ValueError(f"{line[:200]!r} is not one of search[entity], lookup[keyword] and finish[answer]")
    return f"{found[1].lower()}[{' '.join(found[2].split())}]"


#: For ``ChatGuesser``: the agent's next action, as text.
SEARCH_GUESSES = {"policy": GuessPrompt(request=_request, read=_read)}
