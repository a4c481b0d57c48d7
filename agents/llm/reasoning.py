"""Separates the answer of a chat model from reasoning that the model, or its server, writes into the same text."""

import dataclasses
import re
from typing import NamedTuple

from spec_envs.agents.llm.messages import Completion

#: What reasoning is called, and the names of the tags around it.
_WORDS = (
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|scratchpad|monologue|plan(?:ning)?|"
    r"brainstorm(?:ing)?|chain_of_thoughts?|cot)"
)
_NAMES = (
    rf"(?:(?!(?:end|stop)_)\w{{1,20}}[:_]|ant|inner|deep)?{_WORDS}"
    r"(?:_(?:content|process|steps|trace|budget_reflect|never_used_\w+))?(?::\w+)?"
)
#: The marks around reasoning, as pairs: ``<think>…</think>``, ``[THINK]…[/THINK]``, ``◁think▷…◁/think▷`` and so on.
_MARKS = (
    (rf"<\s*{_NAMES}(?:\s[^<>]*)?>", rf"<\s*/\s*{_NAMES}\s*>"),
    (r"\[THINK(?:ING)?\]", r"\[/THINK(?:ING)?\]"),
    (r"◁think▷", r"◁/think▷"),
    (
        rf"<[|｜](?:begin_of_|start_(?:of_)?)?{_WORDS}(?:_start|_begin)?[|｜]>",
        rf"<[|｜](?:(?:/|end_(?:of_)?){_WORDS}|{_WORDS}_end)[|｜]>",
    ),
    (r"<(?:unused|ctrl)94>", r"<(?:unused|ctrl)95>"),  # of Gemma models
    (r"<\|channel>thought", r"<channel\|>"),  # of later ones
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    (r"(?!)", r"\[BEGIN FINAL RESPONSE\]"),  # of Apriel models, which write nothing before their reasoning
)
#: The marks around the answer.
_AROUND = (
    r"<\|(?:START|END)_RESPONSE\|>|<\|(?:begin|end)_of_(?:solution|box)\|>|\[END FINAL RESPONSE\]|"
    rf"<\s*{_NAMES}\s*/\s*>|<details\s[^<>]*type=[\"']?reasoning[^<>]*>(?:[\s\S]*?</details>|[\s\S]*)|"
    r"<!--(?:[\s\S]*?-->|[\s\S]*)|```(?:think(?:ing)?|thoughts?|reasoning)[ \t]*\n(?:[\s\S]*?\n[ \t]*```|[\s\S]*)"
)
#: The marks that end an answer. Some servers leave them in the text, with whatever the model writes after them.
_END = (
    r"<\|(?:im_end|end|eot_id|eom_id|endoftext|end_of_text|eos|end_?of_?turn(?:_token)?|return|user|observation)\|>|"
    r"<end_of_turn>|<turn\|>|<[|｜](?:end▁of▁sentence|user)[|｜]>|\[e~\[|(?:<eos>|</s>)\s*(?:\Z|<s>)"
)
#: The marks that begin an answer.
_BEGIN = r"<\|im_start\|>assistant(?:<\|im_sep\|>|\n?)|<\|start_of_role\|>assistant<\|end_of_role\|>|<\|turn>model\n?|"
_BEGIN += r"<\|start_header_id\|>assistant<\|end_header_id\|>\n*|<start_of_turn>model\n?|"
_BEGIN += r"\A\s*(?:<s>|<bos>|<\|begin_of_text\|>|<[|｜]begin▁of▁sentence[|｜]>)|\A\s*<[|｜]assistant[|｜]>\n?"
_OPEN = "|".join(opening for opening, _ in _MARKS)
_CLOSE = "|".join(closing for _, closing in _MARKS)
_MARK = re.compile(
    rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})|(?P<end>{_END})|(?P<around>{_AROUND}|{_BEGIN})", re.IGNORECASE
)
#: The beginning of the answer in the Harmony format of the gpt-oss models, for servers that do not parse the format.
_FINAL = re.compile(r"(?:<\|channel\|>final(?:\s[^<]*)?(?:<\|constrain\|>[^<]*)?|<\|start\|>assistant\s*)<\|message\|>")
_HARMONY = re.compile(r"\s*+(?:<\|start\|>assistant\s*+)?<\|channel\|>")
_HARMONY_CALL = re.compile(r"<\|(?:channel|start)\|>[^<>]*\bto=functions?\.")
#: The same where the server has dropped the marks, and left the words between them.
_BARE = re.compile(r"\s*(?:assistant)?analysis(?P<answer>.*?assistantfinal)?", re.DOTALL)
_HARMONY_END = re.compile(r"<\|(?:return|end)\|>\s*$")
#: The end of a text that may become a mark when the text goes on.
_UNFINISHED = re.compile(rf"<(?:\s*+(?:/\s*+)?(?:[\w:]*|{_NAMES}\s[^<>]*)|[|｜][^<>]*)\Z", re.IGNORECASE)


def without_reasoning(completion: Completion) -> Completion:
    """Return ``completion`` with the answer alone as its text, and the log-probabilities of the answer's tokens.

    Reasoning stands between marks such as ``<think>`` and ``</think>``. Some servers leave out the opening mark: then
    everything before the closing mark is reasoning. If the closing mark is missing, everything after an opening mark at
    the start of a line is reasoning.
    """
    kept = _parts(completion.text).kept
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
    """Return whether ``text`` has a closing mark of reasoning without an opening mark."""
    return _parts(text).lacks_opening_mark


def settled_answer(text: str) -> str:
    """Return the part of the answer in ``text`` that stays the same when the text goes on.

    The part changes only if the text goes on with a closing mark that lacks its opening mark.
    """
    if unfinished := _UNFINISHED.search(text):
        text = text[: unfinished.start()]
    return "".join(text[start:end] for start, end in _parts(text).settled).lstrip()


class _Parts(NamedTuple):
    """The starts and ends of the parts of a text that are not reasoning; ``settled`` ones do not change any more."""

    kept: list[tuple[int, int]]
    settled: list[tuple[int, int]]
    lacks_opening_mark: bool


def _parts(text: str) -> _Parts:
    if _HARMONY.match(text):
        final = list(_FINAL.finditer(text))
        ending = _HARMONY_END.search(text)
        start = final[-1].end() if final else call.start() if (call := _HARMONY_CALL.search(text)) else len(text)
        return _Parts([(start, max(start, ending.start() if ending else len(text)))], [], False)
    bare = _BARE.match(text)
    if bare is not None and bare["answer"] is not None:
        return _Parts([(bare.end(), len(text))], [], True)
    kept: list[tuple[int, int]] = []
    start, opened, lacks = 0, None, False
    for mark in _MARK.finditer(text):
        if mark["close"]:
            if opened is None:  # everything before was reasoning
                kept.clear()
                lacks = True
            start, opened = mark.end(), None
        elif opened is None and (mark["around"] or mark["end"]):
            kept.append((start, mark.start()))
            start = mark.end()
            if mark["end"]:
                return _Parts(kept, kept, lacks)
        elif opened is None:  # reasoning may speak of such marks, too
            kept.append((start, mark.start()))
            opened = mark.start()
    settled = list(kept)
    if opened is None:
        settled.append((start, len(text)))
        kept.append((start, len(text)))
    elif "".join(text[a:b] for a, b in kept).rpartition("\n")[2].strip():  # in the middle of a line: a word
        kept.append((opened, len(text)))
    return _Parts(kept, settled if bare is None else [], lacks)
