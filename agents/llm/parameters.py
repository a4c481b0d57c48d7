"""The parameters of a request to a server, in the form that the server accepts."""

import json
import re
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from spec_envs.agents.llm.dialogues import FORMS
from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.checks import integer_or_none
from spec_envs.errors import InvalidConfiguration

#: The two names of the greatest number of tokens. OpenAI's reasoning models refuse the first one; many other servers do
#: not know the second one.
_LIMITS = ("max_tokens", "max_completion_tokens")
#: Parameters that every request sets itself.
_NOT_OPTIONS = frozenset({"messages", "model", "stream"})
#: Parameters that are left out if the server refuses them; ``True``: with a warning, since this changes the answers.
_OPTIONAL = {"stream_options": False, "logprobs": False, "temperature": True, "response_format": True}
#: The names of fields in the refusals of servers; any other name may be that of a parameter.
_FIELDS = frozenset("error message type param code object status detail loc msg input ctx url error_type".split())
#: The parameter that requests an answer in pieces.
_STREAM = "stream"
_IN_PIECES = re.compile(r"(?<!\w)stream(?:ing|ed)?(?!\w)", re.IGNORECASE)
#: The statuses with which servers refuse a parameter; and the statuses that are a refusal only if the text says so.
_REFUSALS = (400, 422)
_PERHAPS = (404, 405, 406, 415, 500, 501)
_SAYS_SO = re.compile(
    r"not (?:yet )?(?:support|allow|permit|implement|enabl|recogni)|un(?:support|know|recogni|expect|implement)"
    r"|(?:n't|cannot|not) (?:support|use|accept|handle|be used)|\bextra\b|jinja|template|must alternate",
    re.IGNORECASE,
)


class Parameters:
    """Makes the parameters of requests, and remembers which of them the model's server wants in another form.

    Args:
        name: The name of the model.
        options: Further parameters of every request. If ``options`` and a request both limit the tokens, the greater
            limit counts.

    Raises:
        InvalidConfiguration: JSON cannot hold the options, or they hold parameters that requests set themselves.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        _check(options)
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
                return answer if sent["stream"] else _Whole(answer)

    def _made(self, query: ChatRequest, changed: frozenset[str]) -> dict[str, Any]:
        messages = list(query.messages)
        for name in (*FORMS,) if changed else ():
            messages = FORMS[name].rewrite(messages) if name in changed else messages
        streams = _STREAM not in changed
        parameters: dict[str, Any] = {
            "model": self._name,
            "messages": messages,
            "stream": streams,
            "extra_body": self._options or None,
        }
        if query.tools:
            parameters["tools"] = list(query.tools)
        if limit := self.limit(query):
            parameters[_LIMITS[_LIMITS[0] in changed]] = limit
        optional = {
            "stream_options": {"include_usage": True} if streams else None,
            "logprobs": True if query.logprobs else None,
            "temperature": query.temperature,
            "response_format": {"type": "json_object"} if query.output == "json" else None,
        }
        return parameters | {key: value for key, value in optional.items() if value is not None and key not in changed}

    def _remember(self, changed: frozenset[str]) -> None:
        before, self._changed = self._changed, changed
        for name in sorted(changed - before):
            told = FORMS[name].told if name in FORMS else ""
            if _OPTIONAL.get(name):
                told = (
                    f"refuses {name}, so {name} is not sent any more, and the model's default holds; make requests "
                    f"without {name} to avoid this"
                )
            if told:
                warnings.warn(f"the server of {self._name!r} {told}", stacklevel=2)


def _check(options: Mapping[str, Any]) -> None:
    """Raise ``InvalidConfiguration`` for options that cannot be those of every request."""
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise InvalidConfiguration(
            f"options must be a mapping from names to values, such as {{'seed': 1}}, not {options!r:.200}"
        )
    if taken := _NOT_OPTIONS & options.keys():
        raise InvalidConfiguration(f"options must not hold {', '.join(sorted(taken))}: requests set these themselves")
    for name, value in options.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidConfiguration(
                f"options must hold what JSON can hold, not {name}={value!r:.200}: {error}"
            ) from None
        if name in _LIMITS:
            integer_or_none(f"{name} of the options", value, least=1)


class _Whole:
    """An answer that was not streamed, as a stream of one piece."""

    def __init__(self, answer: Any) -> None:
        self._pieces = [answer]

    async def __aenter__(self) -> "_Whole":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Any]:
        while self._pieces:
            yield self._pieces.pop()


def _refused(error: Exception, sent: Mapping[str, Any]) -> frozenset[str]:
    """Return the parameters in ``sent``, and the forms of its dialogue, that the server refuses by name."""
    status, text = getattr(error, "status_code", None), _reason(error)
    if status not in _REFUSALS and not (status in _PERHAPS and _SAYS_SO.search(text)):
        return frozenset()
    forms = {name for name, form in FORMS.items() if form.refusal.search(text)}
    forms = {name for name in forms if FORMS[name].rewrite(sent["messages"]) != sent["messages"]}
    text = str(getattr(error, "param", None) or text).replace("include_usage", "stream_options")
    names = {name for name in (*_LIMITS, *_OPTIONAL) if re.search(rf"(?<!\w){name}(?!\w)", text)}
    if sent["stream"] and "stream_options" not in names and _IN_PIECES.search(text):
        return frozenset({_STREAM})  # further parameters that it names are refused only in a stream
    limit = {_LIMITS[0]} if names.intersection(_LIMITS) and sent.keys() & set(_LIMITS) else set()
    return frozenset(forms | limit | (names & _OPTIONAL.keys() & sent.keys()))


def _reason(error: Exception) -> str:
    """Return what the server says, without the request that some servers repeat."""
    texts: list[str] = []
    parts: list[Any] = [getattr(error, "body", None)]
    while parts:
        part = parts.pop(0)
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            texts += [str(key) for key in part if key not in _FIELDS]  # a parameter, with what is wrong about it
            parts = [value for key, value in part.items() if key != "input"] + parts
        elif isinstance(part, list):
            parts = part + parts
    return " ".join(texts) or str(error)
