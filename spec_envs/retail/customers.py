"""The scripted customer of the generated shop."""

import dataclasses
import functools
import re
from collections.abc import Sequence

from spec_envs.draws import Draws
from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.queries import STOP, CustomerQuery
from spec_envs.retail.tasks import Identity, Request, Scenario, was_said

#: The number of useless answers of the agent after which the customer gives up a request.
_PATIENCE = 3

_SENTENCE = re.compile(r"([^.?!\n]*+)(\??)")  # without its end, if that is no question mark
_ASKS = re.compile(r"\b(?:please|could you|let me know|tell me|provide)\b", re.I)
_IDENTITY = re.compile(r"e-?mail|\bzip\b|\b(?:first|last|full|your) name\b|verify|authenticate|identi", re.I)
_NAME = re.compile(r"\bzip\b|\b(?:first|last|full|your) name\b", re.I)
_CONFIRM = re.compile(r"\bconfirm|\bproceed\b|go ahead|yes/no|\(yes\b|\bshall i\b|\b(?:is|does) (?:this|that) ", re.I)
_YES = re.compile(r"\byes\b|yes/no", re.I)
_DONE = re.compile(r"\b(?:has|have) (?:now )?been\b|\bdone\b|\bcompleted?\b|successful|anything else", re.I)
_MORE = re.compile(r"anything else|something else", re.I)
_REFUSED = re.compile(r"\b(?:cannot|can't|can not|unable|not able|not possible|not allowed)\b", re.I)
_TOPICS = {
    "order": re.compile(r"\border\b", re.I),
    "items": re.compile(r"\bitems?\b|\bproducts?\b|which one", re.I),
    "new items": re.compile(
        r"\bnew\b|instead|replace|^(?>.*?exchange ).*\bfor\b|version|variant|\boptions?\b", re.I | re.M
    ),
    "payment": re.compile(r"\bpay|refund|method|\bcard\b", re.I),
    "reason": re.compile(r"\breason\b|\bwhy\b", re.I),
    "address": re.compile(r"\baddress\b|deliver(?:ed)? to|\bsent\b", re.I),
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Message:
    """A message of the agent, as every customer understands it."""

    question: str  # the message's questions and requests
    wants: str  # what it wants to hear first of all: "yes", who the customer is ("identity"), or neither ("")
    topics: tuple[str, ...]  # the topics that the question is about, as far as customers have facts about them
    is_done: bool  # whether it says that something was done
    offers_more: bool  # whether the question is whether there is anything else
    refuses: bool  # whether it says that something is not possible


@functools.lru_cache(maxsize=1024)  # a customer listens to the whole dialogue again for each answer
def _understood(text: str) -> _Message:
    question = " ".join(said + mark for said, mark in _SENTENCE.findall(text) if mark or _ASKS.search(said))
    if _YES.search(text) and _CONFIRM.search(text):
        wants = "yes"
    elif _IDENTITY.search(question):
        wants = "identity"
    else:
        wants = "yes" if _CONFIRM.search(question) else ""
    topics = tuple(topic for topic, words in _TOPICS.items() if words.search(question))
    is_done, refuses = bool(_DONE.search(text)), bool(_REFUSED.search(text))
    return _Message(question, wants, topics, is_done, bool(_MORE.search(question)), refuses)


def scripted_customer(query: CustomerQuery) -> str:
    """Return what the customer of a generated task says next.

    Raises:
        InvalidConfiguration: The task has no scenario, but only an instruction in words.
    """
    scenario = query.task.scenario
    if scenario is None:
        raise InvalidConfiguration(
            f"task {query.task.name!r} has an instruction in words and no scenario, so the scripted customer cannot "
            f"play it; give customer= a function, for example one that asks a language model"
        )
    customer = _Customer(scenario)
    for heard in query.said[::2]:
        wordings = customer.hear(heard)
    return Draws("customer", query.seed, len(query.said)).pick(wordings)


_POLITE = ("", "Sure. ", "Of course. ", "Let me see. ")
_WANTS = ("I would like to {}.", "I'd like to {}.", "I want to {}.", "I would like to {}, please.")
_HELLO = ("Hi! ", "Hello. ", "Hi there, ", "Good day. ")
_NEXT = ("Thank you. ", "Great, thanks. ", "Thanks a lot. ", "Good. ")
_BYE = (f"That is all, thank you. {STOP}", f"Thanks for your help. {STOP}", f"No, that was everything. {STOP}")


@functools.lru_cache(maxsize=1024)
def _wishes(openings: tuple[str, ...], goal: str) -> tuple[str, ...]:
    return tuple(opening + wish.format(goal) for opening in openings for wish in _WANTS)


class _Customer:
    """The customer's state after the messages heard so far."""

    def __init__(self, scenario: Scenario) -> None:
        self._identity = scenario.identity
        self._requests = scenario.requests
        self._place = 0  # the index of the request that the conversation is about
        self._greeted = self._declined = False
        self._insisted = 0
        self._heard: list[str] = []

    @property
    def _request(self) -> Request:
        return self._requests[self._place]

    def hear(self, text: str) -> Sequence[str]:
        """Return the possible wordings of the answer to the agent's next message."""
        if not self._greeted:
            self._greeted = True
            return self._want(_HELLO)
        self._heard.append(text)
        message = _understood(text)
        if message.wants == "yes":
            return self._confirm()
        if message.wants == "identity":
            return [polite + _introduction(self._identity, message.question) for polite in _POLITE]
        facts = self._facts(message.topics)
        if self._declined or (self._is_done(message) and (not facts or message.offers_more)):
            return self._go_on()
        if not facts:
            return self._insist(message)
        self._insisted = 0  # this was progress
        return [polite + facts for polite in _POLITE]

    def _want(self, openings: tuple[str, ...]) -> Sequence[str]:
        return _wishes(openings, self._request.goal)

    def _confirm(self) -> Sequence[str]:
        if self._request.confirms:
            return ("Yes.", "Yes, please.", "Yes, please do that.", "Yes, I confirm.")
        self._declined = True
        return ("No, I have changed my mind.", "No, leave it as it is, please.", "No, I'd rather not.")

    def _is_done(self, message: _Message) -> bool:
        outputs = self._request.outputs
        if not all(any(was_said(output, heard) for heard in self._heard) for output in outputs):
            return False
        # A question is answered by the outputs alone; a change has to be reported in words.
        return message.is_done or (self._request.kind == "information" and bool(outputs))

    def _go_on(self) -> Sequence[str]:
        """Go on to the next request, or say good-bye."""
        self._declined, self._insisted = False, 0
        if self._place + 1 == len(self._requests):
            return _BYE
        self._place += 1
        return self._want(_NEXT)

    def _facts(self, topics: Sequence[str]) -> str:
        """Return what the customer knows about the topics of a question; "" if there are none."""
        facts = self._request.facts
        found = [
            facts[topic]
            for topic in topics
            # The phrase for the new items names the items, too.
            if topic in facts and not (topic == "items" and "new items" in topics and "new items" in facts)
        ]
        text = ". ".join(fact[0].upper() + fact[1:] for fact in found)
        return f"{text}." if found else "I have nothing to add to that." if topics and facts else ""

    def _insist(self, message: _Message) -> Sequence[str]:
        """Ask for the request again, or give it up after ``_PATIENCE`` times."""
        self._insisted += 1
        if self._insisted >= _PATIENCE or (message.refuses and self._insisted > 1):
            return self._go_on()
        if message.is_done:
            return [f"I'd still like to {self._request.goal}.", f"But I want to {self._request.goal}."]
        return self._want(("", "Sorry, I don't understand. ", "As I said, "))


def _introduction(identity: Identity, question: str) -> str:
    name = f"My name is {identity.first_name} {identity.last_name}, and my zip code is {identity.zip}."
    by_email = "mail" in question.lower() or not _NAME.search(question)
    if not by_email:
        return name
    if identity.knows_email:
        return f"My e-mail address is {identity.email}."
    return f"I don't remember my e-mail address. {name}"
