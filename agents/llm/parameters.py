"""The parameters of a request to a server, in the form that the server accepts."""

import re
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from spec_envs.agents.llm.messages import ChatRequest

#: The two names of the greatest number of tokens. OpenAI's reasoning models refuse the first one; many other servers do
#: not know the second one.
_LIMITS = ("max_tokens", "max_completion_tokens")
#: Parameters that are left out if the server refuses them; ``True``: with a warning, since this changes the answers.
_OPTIONAL = {"stream_options": False, "logprobs": False, "temperature": True, "response_format": True}
#: The statuses with which servers refuse a parameter.
_REFUSALS = (400, 422)


class Parameters:
    """Makes the parameters of requests, and remembers which of them the model's server wants in another form.

    Args:
        name: The name of the model.
        options: Further parameters of every request. If ``options`` and a request both limit the tokens, the greater
            limit counts.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._name = name
        limits = {each: options[each] for each in _LIMITS if type(options.get(each)) is int}
        self._limit = max(limits.values(), default=0)
        self._options = {key: value for key, value in options.items() if key not in limits}
        # The parameters in their other form; "max_tokens" stands for the limit of tokens by its other name.
        self._changed = frozenset({_LIMITS[0]} if list(limits) == [_LIMITS[1]] else ())

    def limit(self, query: ChatRequest) -> int:
        """Return the greatest number of tokens in an answer to ``query``; 0: no limit."""
        return max(query.max_tokens or 0, self._limit)

    async def send(self, create: Callable[..., Awaitable[Any]], query: ChatRequest) -> Any:
        """Return ``await create(**parameters)``; parameters that the server refuses by name are changed, each once.

        Raises:
            Exception: ``create`` raised it. If the other form of a parameter was refused too, the first error.
        """
        before, now = self._changed, frozenset[str]()
        first: Exception | None = None
        while True:
            sent = self._made(query, before ^ now)
            try:
                answer = await create(**sent)
            except Exception as error:
                named = _refused(error, sent)
                if named <= now:
                    raise (first if first is not None and named else error) from None
                first, now = first or error, now | named
            else:
                self._remember(before ^ now)
                return answer

    def _made(self, query: ChatRequest, changed: frozenset[str]) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self._name,
            "messages": list(query.messages),
            "stream": True,
            "extra_body": self._options or None,
        }
        if query.tools:
            parameters["tools"] = list(query.tools)
        if limit := self.limit(query):
            parameters[_LIMITS[_LIMITS[0] in changed]] = limit
        optional = {
            "stream_options": {"include_usage": True},
            "logprobs": True if query.logprobs else None,
            "temperature": query.temperature,
            "response_format": {"type": "json_object"} if query.output == "json" else None,
        }
        return parameters | {key: value for key, value in optional.items() if value is not None and key not in changed}

    def _remember(self, changed: frozenset[str]) -> None:
        before, self._changed = self._changed, changed
        for name in sorted(changed - before):
            if _OPTIONAL.get(name):
                warnings.warn(
                    f"the server of {self._name!r} refuses {name}, so {name} is not sent any more, and the model's "
                    f"default holds; make requests without {name} to avoid this",
                    stacklevel=2,
                )


def _refused(error: Exception, sent: Mapping[str, Any]) -> frozenset[str]:
    """Return the parameters in ``sent`` that the server refuses by name."""
    if getattr(error, "status_code", None) not in _REFUSALS:
        return frozenset()
    text = str(getattr(error, "param", None) or f"{error} {getattr(error, 'body', '')}").replace(
        "include_usage", "stream_options"
    )
    names = {name for name in (*_LIMITS, *_OPTIONAL) if re.search(rf"(?<!\w){name}(?!\w)", text)}
    limit = {_LIMITS[0]} if names.intersection(_LIMITS) and sent.keys() & set(_LIMITS) else set()
    return frozenset(limit | (names & _OPTIONAL.keys() & sent.keys()))
