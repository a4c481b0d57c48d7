"""What a clerk knows: read from the dialogue, so that the next action depends on the observation alone."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from spec_envs.retail.tools.table import WRITES

ASK_EMAIL = "Could you tell me the e-mail address of your account?"
ASK_NAME = "Could you tell me your first name, last name and zip code, please?"
#: What is asked about a request, by topic.
QUESTIONS = {
    "order": "Which order is it about?",
    "new items": "Which version would you like instead?",
    "payment": "Which payment method should be used?",
    "reason": "What is the reason: no longer needed, or ordered by mistake?",
    "address": "What is the new address?",
}
CONFIRM = "Do you confirm this (yes/no)?"
MORE = "Is there anything else I can help you with?"

_TOPICS = {question: topic for topic, question in QUESTIONS.items()}
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NAME = re.compile(r"[Mm]y name is (\S+) (\S+), and my zip code is (\w+)")

Action = str | dict[str, Any]


class Next(Exception):
    """The clerk cannot go on without this action."""

    def __init__(self, action: Action) -> None:
        super().__init__(action)
        self.action = action


def call(name: str, **arguments: Any) -> Action:
    """A tool call."""
    return {"name": name, "arguments": arguments}


def give_up(why: str) -> NoReturn:
    """Have a person take over."""
    raise Next(call("transfer_to_human_agents", summary=why))


@dataclasses.dataclass
class Wish:
    """One thing that the customer wants, and how far it has come.

    Attributes:
        text: The message in which it came up.
        facts: Answers by topic.
        agreed: The answer when asked to confirm; ``None`` before.
        result: What the tool that changes something has answered.
    """

    text: str
    facts: dict[str, str] = dataclasses.field(default_factory=dict)
    agreed: bool | None = None
    result: str | None = None


class Case:
    """A dialogue, read: who the customer is, what the tools have told, and the customer's wishes."""

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self.wishes: list[Wish] = []
        self._heard: list[str] = []
        self._asked: list[str] = []
        self._results: dict[str, str] = {}
        self._stale: set[str] = set()  # results from before the last change
        #: Orders as they are now.
        self._orders: dict[str, Any] = {}
        made: Mapping[str, Any] = {}
        for message in messages:
            if message["role"] == "user":
                self._hear(str(message["content"]))
            elif message["role"] == "tool":
                self._note(str(made["name"]), json.loads(made["arguments"]), str(message["content"]))
            elif message.get("tool_calls"):
                made = message["tool_calls"][0]["function"]
            else:
                self._asked.append(str(message["content"]))

    def _hear(self, text: str) -> None:
        self._heard.append(text)
        asked = self._asked[-1] if self._asked else MORE
        if not self.wishes or MORE in asked:
            self.wishes.append(Wish(text))
        elif asked in _TOPICS:
            self.wishes[-1].facts[_TOPICS[asked]] = text
        elif CONFIRM in asked:
            self.wishes[-1].agreed = text.lower().startswith("yes")

    def _note(self, name: str, arguments: Any, output: str) -> None:
        key = _key(name, arguments)
        self._results[key] = output
        self._stale.discard(key)
        failed = output.startswith("Error")
        if name in WRITES and self.wishes:
            self.wishes[-1].result = output
            self._stale = set(self._results)  # a change of an order may change the user, too
        if (name in WRITES or name == "get_order_details") and not failed and output[:1] == "{":
            record = json.loads(output)
            self._orders[record.get("order_id", "")] = record

    def ask_once(self, question: str) -> None:
        """Ask, unless this was asked before."""
        if question not in self._asked:
            raise Next(question)

    def fact(self, wish: Wish, topic: str) -> str:
        """What the customer says about a topic of the wish."""
        if topic not in wish.facts:
            raise Next(QUESTIONS[topic])
        return wish.facts[topic]

    def look_up(self, name: str, *, fresh: bool = False, **arguments: Any) -> str:
        """What the tool answers, if ``fresh`` since the last change; hands over to a person where that is an error."""
        key = _key(name, arguments)
        output = self._results.get(key)
        if output is None or (fresh and key in self._stale):
            raise Next(call(name, **arguments))
        if output.startswith("Error"):
            give_up(f"{name} answers: {output}")
        return output

    def user(self, *, fresh: bool = False) -> Any:
        """The customer's record with its id, found out by e-mail, or by name and zip code."""
        user_id = self._user_id()
        return {**json.loads(self.look_up("get_user_details", fresh=fresh, user_id=user_id)), "user_id": user_id}

    def _user_id(self) -> str:
        said = " ".join(self._heard)
        tries = []
        if email := _EMAIL.search(said):
            tries.append(("find_user_id_by_email", {"email": email[0]}))
        if name := _NAME.search(said):
            first, last, zip_code = name.groups()
            tries.append(("find_user_id_by_name_zip", {"first_name": first, "last_name": last, "zip": zip_code}))
        for tool, arguments in tries:
            found = self._results.get(_key(tool, arguments))
            if found is None:
                raise Next(call(tool, **arguments))
            if not found.startswith("Error"):
                return found
        if not tries:
            self.ask_once(ASK_EMAIL)
        self.ask_once(ASK_NAME)
        give_up("The customer could not be identified.")

    def order(self, wish: Wish, user: Any) -> Any:
        """The order that the wish is about: by its id, or by what is in it."""
        text = wish.text + wish.facts.get("order", "")
        if order_id := re.search(r"#W\d+", text):
            return self.order_of(order_id[0])
        # All of them: only then is it sure that no other holds an item of that name.
        orders = [self.order_of(order_id) for order_id in user["orders"]]
        names = {item["name"]: order for order in orders for item in order["items"]}
        for name in sorted(names, key=len, reverse=True):
            if f"the order with the {name}" in text:
                return names[name]
        if "order" in wish.facts:
            give_up(f"It is not clear which order this is about: {text}")
        raise Next(QUESTIONS["order"])

    def order_of(self, order_id: str) -> Any:
        """An order as it is now."""
        return self._orders.get(order_id) or json.loads(self.look_up("get_order_details", order_id=order_id))

    def product(self, product_id: str) -> Any:
        """A product."""
        return json.loads(self.look_up("get_product_details", product_id=product_id))


def _key(name: str, arguments: Any) -> str:
    return f"{name} {json.dumps(arguments, sort_keys=True)}"
