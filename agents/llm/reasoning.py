"""Tells the answer of a chat model from reasoning that the model, or its server, writes into the same text."""

import dataclasses
import re

from spec_envs.agents.llm.messages import Completion

#: The names of the tags around reasoning.
_NAMES = r"(?:\w+:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|scratchpad|antthinking)"
#: The marks around reasoning, as pairs: ``<think>…</think>``, ``[THINK]…[/THINK]``, ``◁think▷…◁/think▷`` and so on.
_MARKS = (
    (rf"<\s*{_NAMES}(?:\s[^<>]*)?>", rf"<\s*/\s*{_NAMES}\s*>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
)
_OPEN = "|".join(opening for opening, _ in _MARKS)
_CLOSE = "|".join(closing for _, closing in _MARKS)
_MARK = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
#: The beginning of the answer itself, in the form that the gpt-oss models write if their server does not take it apart.
_FINAL = re.compile(r"<\|channel\|>final(?:\s[^<]*)?<\|message\|>")
_HARMONY = re.compile(r"\s*(?:<\|start\|>assistant)?\s*<\|channel\|>")
_HARMONY_END = re.compile(r"<\|(?:return|end)\|>\s*$")


def without_reasoning(completion: Completion) -> Completion:
    """Return ``completion`` with the answer alone as its text, and the log-probabilities of the answer's tokens.

    Reasoning stands between marks such as ``<think>`` and ``</think>``. If the opening mark is missing, as some servers
    leave it out, everything before the closing mark is reasoning. If the closing mark is missing, everything after an
    opening mark at the start of a line is reasoning.
    """
    kept = _answer_spans(completion.text)
    text = "".join(completion.text[start:end] for start, end in kept)
    if len(text) == len(completion.text):
        return completion
    start, logprobs = 0, []
    for token, logprob in completion.logprobs:
        end = start + len(token)
        rest = "".join(token[max(0, a - start) : max(0, b - start)] for a, b in kept if a < end and b > start)
        if rest:
            logprobs.append((rest, logprob))
        start = end
    lead = len(text) - len(text.lstrip())  # the white space between the reasoning and the answer
    while lead and logprobs:
        token, logprob = logprobs.pop(0)
        if lead < len(token):
            logprobs.insert(0, (token[lead:], logprob))
        lead = max(0, lead - len(token))
    return dataclasses.replace(completion, text=text.lstrip(), logprobs=tuple(logprobs))


def lacks_opening_mark(text: str) -> bool:
    """Return whether ``text`` closes reasoning that it has not opened: until then, it looks like an answer."""
    first = _MARK.search(text)
    return first is not None and first["close"] is not None and not _HARMONY.match(text)


def _answer_spans(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of each piece of ``text`` that is not reasoning."""
    if _HARMONY.match(text):
        final = list(_FINAL.finditer(text))
        ending = _HARMONY_END.search(text)
        return [(final[-1].end(), ending.start() if ending else len(text))] if final else []
    kept: list[tuple[int, int]] = []
    start, opened = 0, None
    for mark in _MARK.finditer(text):
        if mark["close"]:
            if opened is None:  # everything before was reasoning
                kept.clear()
            start, opened = mark.end(), None
        elif opened is None:  # reasoning may speak of such marks, too
            kept.append((start, mark.start()))
            opened = mark.start()
    if opened is None:
        kept.append((start, len(text)))
    elif "".join(text[a:b] for a, b in kept).rpartition("\n")[2].strip():  # in the middle of a line: a word
        kept.append((opened, len(text)))
    return kept
