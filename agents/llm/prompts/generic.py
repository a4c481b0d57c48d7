"""The prompt for guesses of any handler's response, with the handler's last responses as examples."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts.base import GuessPrompt, Past, best_first, json_line, user_message

#: The greatest number of characters of a query that are shown.
_SHOWN = 4000


def _request(query: Any, k: int, past: Past) -> ChatRequest:
    examples = [f"Query: {_text(past_query)}\nResponse: {_text(response)}" for past_query, response in past]
    text = "\n".join(["Something answers queries. What will it answer to the last one?", "", *examples, ""])
    form = "as JSON" + ("" if past else ' (a text in quotes: "…")')
    text += f"Query: {_text(query)}\n\n{best_first(k, 'responses to the last query', form)}"
    return ChatRequest(messages=(user_message(text),))


def _text(value: Any) -> str:
    text = json.dumps(value, default=_plain, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.repr}
    return repr(value)


#: For handlers whose responses are JSON data: text, numbers, lists, objects.
GENERIC = GuessPrompt(request=_request, read=lambda line, query: json_line(line))
