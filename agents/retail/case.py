"""What the scripted clerk knows, all read from the dialogue: the next action depends on the observation alone."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from spec_envs.retail.tools.table import WRITES

EMAIL_QUESTION = "Could you tell me the e-mail address of your account?"
NAME_QUESTION = "Could you tell me your first name, last name and zip code, please?"
#: The question about each topic of a request.
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
    """Raised with the action that the clerk has to take next."""

    def __init__(self, action: Action) -> None:
        super().__init__(action)
        self.action = action


def call(name: str, **arguments: Any) -> Action:
    """Return a tool call as an action."""
    return {"name": name, "arguments": arguments}


def give_up(why: str) -> NoReturn:
    """Transfer the customer to a human agent."""
    raise Next(call("transfer_to_human_agents", summary=why))


@dataclasses.dataclass
class Wish:
    """One request of the customer, and how far the clerk has come with it."""

    text: str  # the customer's message
    facts: dict[str, str] = dataclasses.field(default_factory=dict)  # answers by topic
    agreed: bool | None = None  # ``None`` before the answer
    result: str | None = None  # of the writing tool; ``None`` before the call


class Case:
    """The facts in a dialogue: who the customer is, the results of tools, and the customer's wishes."""

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self.wishes: list[Wish] = []
        self._heard: list[str] = []
        self._questions: list[str] = []
        self._results: dict[str, str] = {}
        self._stale: set[str] = set()  # keys of results from before the last write
        self._orders: dict[str, Any] = {}  # the latest record of each order
        made: Mapping[str, Any] = {}
        for message in messages:
            if message["role"] == "user":
                self._hear(str(message["content"]))
            elif message["role"] == "tool":
                self._note(str(made["name"]), json.loads(made["arguments"]), str(message["content"]))
            elif message.get("tool_calls"):
                made = message["tool_calls"][0]["function"]
            else:
                self._questions.append(str(message["content"]))

    def _hear(self, text: str) -> None:
        self._heard.append(text)
        question = self._questions[-1] if self._questions else MORE
        if not self.wishes or MORE in question:
            self.wishes.append(Wish(text))
        elif question in _TOPICS:
            self.wishes[-1].facts[_TOPICS[question]] = text
        elif CONFIRM in question:
            self.wishes[-1].agreed = text.lower().startswith("yes")

    def _note(self, name: str, arguments: Any, output: str) -> None:
        key = _key(name, arguments)
        self._results[key] = output
        self._stale.discard(key)
        failed = output.startswith("Error")
        if name in WRITES and self.wishes:
            self.wishes[-1].result = output
            self._stale = set(self._results)  # a write on an order may change the user's record, too
        if (name in WRITES or name == "get_order_details") and not failed and output[:1] == "{":
            record = json.loads(output)
            self._orders[record.get("order_id", "")] = record

    def require_once(self, question: str) -> None:
        """Ask the customer ``question``, unless it was asked before."""
        if question not in self._questions:
            raise Next(question)

    def fact(self, wish: Wish, topic: str) -> str:
        """Return the customer's answer about a topic of the wish."""
        if topic not in wish.facts:
            raise Next(QUESTIONS[topic])
        return wish.facts[topic]

    def look_up(self, name: str, *, fresh: bool = False, **arguments: Any) -> str:
        """Return the result of a tool (``fresh``: from after the last write). On an error, transfer the customer."""
        key = _key(name, arguments)
        output = self._results.get(key)
        if output is None or (fresh and key in self._stale):
            raise Next(call(name, **arguments))
        if output.startswith("Error"):
            give_up(f"{name} answers: {output}")
        return output

    def user(self, *, fresh: bool = False) -> Any:
        """Return the customer's record with its id, found by e-mail, or by name and zip code."""
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
            self.require_once(EMAIL_QUESTION)
        self.require_once(NAME_QUESTION)
        give_up("The customer could not be identified.")

    def order(self, wish: Wish, user: Any) -> Any:
        """Return the order that the wish is about, found by its id or by its items."""
        text = wish.text + wish.facts.get("order", "")
        if order_id := re.search(r"#W\d+", text):
            return self.order_of(order_id[0])
        # Read all orders: only then is it certain that no other order holds an item of that name.
        orders = [self.order_of(order_id) for order_id in user["orders"]]
        names = {item["name"]: order for order in orders for item in order["items"]}
        for name in sorted(names, key=len, reverse=True):
            if f"the order with the {name}" in text:
                return names[name]
        if "order" in wish.facts:
            give_up(f"It is not clear which order this is about: {text}")
        raise Next(QUESTIONS["order"])

    def order_of(self, order_id: str) -> Any:
        """Return the latest record of an order."""
        return self._orders.get(order_id) or json.loads(self.look_up("get_order_details", order_id=order_id))

    def product(self, product_id: str) -> Any:
        """Return the record of a product."""
        return json.loads(self.look_up("get_product_details", product_id=product_id))


def _key(name: str, arguments: Any) -> str:
    return f"{name} {json.dumps(arguments, sort_keys=True)}"
