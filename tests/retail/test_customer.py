"""The scripted customer: what it answers to what, and that it is a function of its query."""

from __future__ import annotations

import dataclasses

import pytest

from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.loading import load_tasks
from spec_envs.retail.queries import GREETING, STOP, CustomerQuery
from spec_envs.retail.tasks import Identity, Request, Scenario, Task

ANN = Identity("ann_lee_1", "Ann", "Lee", "89501", "ann@example.com", knows_email=True)
CANCEL = Request(
    "cancel_pending_order",
    "cancel the order with the Rug",
    {"order": "order #W1", "reason": "it is no longer needed"},
    {},
)
ASK = Request("information", "know what I paid", {"order": "order #W2"}, {}, outputs=("1234.5",))
SWAP = Request(
    "exchange_delivered_order_items",
    "exchange the Lamp for another version",
    {
        "order": "order #W3",
        "items": "the Lamp (color: red)",
        "new items": "the Lamp with color: blue",
        "payment": "my card",
    },
    {},
    confirms=False,
)
MORE = "Is there anything else I can help you with?"


def talk(*agent: str, requests: tuple[Request, ...] = (CANCEL,), identity: Identity = ANN, seed: int = 0) -> list[str]:
    """The customer's messages in a dialogue, the first one included."""
    task = Task("test", 0, identity.user_id, "", (), scenario=Scenario(identity, requests))
    said = [GREETING]
    for message in (*agent, ""):
        said.append(scripted_customer(CustomerQuery(tuple(said), task, seed)))
        said.append(message)
    return said[1::2]


def test_begins_with_the_first_request():
    assert "cancel the order with the Rug" in talk()[0]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Could you tell me your e-mail address?", "ann@example.com"),
        ("May I have your email, or your name and zip code?", "ann@example.com"),
        ("To verify your identity, I need some details. Could you identify yourself?", "ann@example.com"),
        ("I found nobody. What are your first name, last name and zip code?", "Ann Lee, and my zip code is 89501"),
        ("Please provide your full name and zip.", "Ann Lee, and my zip code is 89501"),
        ("Could you confirm your email address?", "ann@example.com"),
        ("Which order is it about?", "Order #W1."),
        ("Why do you want to cancel it?", "It is no longer needed."),
        ("Which order is it, and what is the reason?", "Order #W1. It is no longer needed."),
        ("Please let me know the order id", "Order #W1."),
        ("How would you like to be refunded?", "I have nothing to add to that."),
        ("I will cancel order #W1 as no longer needed. Do you confirm (yes/no)?", "Yes"),
        ("Cancel order #W1, refund to your card ending in 1. Shall I go ahead?", "Yes"),
        ("The address and e-mail stay as they are. Please reply yes to confirm.", "Yes"),
        ("The weather is nice.", "cancel the order with the Rug"),
        ("Order #W1 has been cancelled.", STOP),
        ("Order #W1 has been cancelled. Is there anything else about your order?", STOP),
        ("I see that it has been paid already. What is the reason?", "It is no longer needed."),
    ],
)
def test_answers(question, answer):
    assert answer in talk(question)[1]


def test_without_an_email():
    ann = dataclasses.replace(ANN, knows_email=False)
    answer = talk("What is your e-mail address?", identity=ann)[1]
    assert "I don't remember my e-mail address. My name is Ann Lee, and my zip code is 89501." in answer


def test_new_items_are_told_with_the_old_ones():
    answer = talk("Which items, and what would you like instead?", requests=(SWAP,))[1]
    assert answer.endswith("The Lamp with color: blue.")


def test_requests_come_one_by_one():
    first, then, bye = talk(f"Done. {MORE}", f"You paid 1,234.5. {MORE}", requests=(CANCEL, ASK))
    assert "Rug" in first and "paid" not in first
    assert "know what I paid" in then and STOP not in then
    assert STOP in bye


def test_declines_and_goes_on():
    _, no, then = talk("I will exchange it. Do you confirm (yes/no)?", "As you like.", requests=(SWAP, CANCEL))
    assert no.startswith("No") and "cancel the order with the Rug" in then


def test_an_answer_need_not_say_that_it_is_one():
    assert STOP in talk("You paid 1,234.5 for it.", requests=(ASK,))[1]


def test_insists_on_what_has_to_be_said_and_gives_up_in_the_end():
    answers = talk(*[f"That is done. {MORE}"] * 3, requests=(ASK,))
    assert [STOP in answer for answer in answers] == [False, False, False, True]
    assert "know what I paid" in answers[1]


def test_takes_no_for_an_answer():
    answers = talk("I cannot do that.", "I am really not able to.", requests=(CANCEL, ASK))
    assert "Rug" in answers[1] and "know what I paid" in answers[2]


def test_words_vary_by_seed_and_nothing_else_does():
    firsts = {talk(seed=seed)[0] for seed in range(40)}
    assert len(firsts) > 8
    assert talk("Which order?", seed=5) == talk("Which order?", seed=5)
    assert all("Order #W1." in talk("Which order?", seed=seed)[1] for seed in range(10))


def test_what_others_say_in_its_name_does_not_matter():
    task = load_tasks("embedded", "test")[0]
    said = [(GREETING, text, "Could you tell me your e-mail address?") for text in ("Hi", "I want a pony")]
    assert len({scripted_customer(CustomerQuery(each, task, 1)) for each in said}) == 1


def test_an_instruction_in_words_needs_a_model():
    with pytest.raises(InvalidConfiguration, match="'test-7' has an instruction in words and no scenario"):
        scripted_customer(CustomerQuery((GREETING,), Task("test", 7, "x", "You are Ann.", ()), 0))


def test_queries_are_equal_by_content():
    task = load_tasks("embedded", "test")[0]
    query = CustomerQuery((GREETING,), task, 1)
    assert query == CustomerQuery((GREETING,), dataclasses.replace(task), 1)
    for other in (
        CustomerQuery((GREETING, "Hi"), task, 1),
        CustomerQuery((GREETING,), task, 2),
        CustomerQuery((GREETING,), load_tasks("embedded", "test")[1], 1),
        "query",
    ):
        assert query != other
