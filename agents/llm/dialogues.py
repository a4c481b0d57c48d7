"""Other forms of a dialogue, for servers and chat templates that refuse the usual form."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Messages = Sequence[Mapping[str, Any]]

#: What an empty message becomes, where a server wants some text.
_NO_TEXT = "…"


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """Another form of dialogues.

    Args:
        refusal: How servers refuse the usual form.
        rewrite: Returns a dialogue in the other form; an equal dialogue if there is nothing to change.
        told: What the user is told when the form is first used; empty if the form means the same to the model.
    """

    refusal: re.Pattern[str]
    rewrite: Callable[[Messages], list[Mapping[str, Any]]]
    told: str = ""


def _in_turns(messages: Messages) -> list[Mapping[str, Any]]:
    """Return ``messages`` with the system's message as part of the user's, and roles that take turns."""
    made: list[dict[str, Any]] = []
    for message in messages:
        role = "user" if message["role"] in ("system", "developer") else message["role"]
        before = made[-1] if made else {}
        texts = before.get("content"), message.get("content")
        if (
            role in ("user", "assistant")
            and role == before.get("role")
            and all(isinstance(each, str) for each in texts)
        ):
            if "tool_calls" not in before:
                joined = "\n\n".join(filter(None, map(str, texts)))
                made[-1] = {**before, **message, "role": role, "content": joined}
                continue
        made.append({**message, "role": role})
    return list(made)


def _with_text(messages: Messages) -> list[Mapping[str, Any]]:
    """Return ``messages`` with some text in each."""
    return [{**each, "content": _NO_TEXT} if not _has_content(each.get("content")) else each for each in messages]


def _has_content(content: Any) -> bool:
    return bool(content.strip()) if isinstance(content, str) else bool(content)


def _with_short_ids(messages: Messages) -> list[Mapping[str, Any]]:
    """Return ``messages`` with ids of tool calls that have nine letters and digits, as Mistral's servers want them."""
    ids: dict[str, str] = {}

    def short(number: Any) -> str:
        return ids.setdefault(str(number), f"call{len(ids):05d}")

    made: list[Mapping[str, Any]] = []
    for message in messages:
        if calls := message.get("tool_calls"):
            message = {**message, "tool_calls": [{**call, "id": short(call.get("id"))} for call in calls]}
        if "tool_call_id" in message:
            message = {**message, "tool_call_id": short(message["tool_call_id"])}
        made.append(message)
    return made


#: By name.
FORMS: Mapping[str, Form] = {
    "messages in turns": Form(
        re.compile(
            r"(?:system|developer)['\"`]?\W+(?:role|message|prompt|instruction)s?\b.{0,80}?(?:\bnot\b|\bun|n't\b)"
            r"|roles?\b.{0,80}?(?:not|n't) support\W+(?:system|developer)|unexpected role\W+(?:system|developer)"
            r"|(?:no|only|without)\b.{0,40}\b(?:user|assistant|system)\b.{0,20}\broles?\b"
            r"|roles? must alternate|must alternate|alternat(?:e|ing) between|successive user or assistant"
            r"|input should be 'user' or 'assistant'|role must be (?:one of )?\W*(?:user|assistant)",
            re.IGNORECASE | re.DOTALL,
        ),
        _in_turns,
        "refuses system messages, or two messages of one role, so these become part of the user's message",
    ),
    "messages with text": Form(
        re.compile(
            r"\bcontent\b.{0,120}?\b(?:null|none|nil|string|empty|non-?empty|blank|white ?space|missing|required)\b"
            r"|(?:null|none|empty|missing|non-?empty|blank)\b.{0,60}?\bcontent\b|must have either content or",
            re.IGNORECASE | re.DOTALL,
        ),
        _with_text,
    ),
    "short ids of tool calls": Form(
        re.compile(
            r"(?:tool[ _]?call|call)[ _]?ids?\b.{0,80}?(?:length|format|invalid|must|a-z|9)|invalid.{0,30}call[ _]id",
            re.I | re.S,
        ),
        _with_short_ids,
    ),
}
