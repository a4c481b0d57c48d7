"""``ReplyGuesser``: the next message of a user, learned from what users said before."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import Call
from spec_envs.agents import ReplyGuesser
from spec_envs.agents.replies import normalised
from spec_envs.errors import InvalidConfiguration


class Query:
    """What an agent may see of a user's query; touching anything else is an error."""

    def __init__(self, *said):
        self.said = said


def asked(*said):
    return Call("user", Query(*said))


def responses(guesser, *said, k=3):
    return [guess.response for guess in guesser.guess(asked(*said), k)]


HELLO = "How can I help you?"


@pytest.fixture
def guesser():
    guesser = ReplyGuesser()
    for number in range(1000, 1008):
        wish = f"Please cancel order #W{number}."
        guesser.learn(
            [
                (HELLO, wish),
                (HELLO, wish, "What is your e-mail address?", f"It is user{number}@mail.example."),
                (HELLO, wish, "Which order is it about?", f"It is about #W{number}."),
                (HELLO, wish, f"I will cancel #W{number}. Is that right?", "Yes, it is."),
                (HELLO, wish, "Done. Anything else?", "No, thanks." if number % 4 else "No."),
            ]
        )
    return guesser


class TestWhatIsLearned:
    def test_replies_that_were_frequent_come_first(self, guesser):
        guesses = guesser.guess(asked(HELLO, "Hi.", "Done. Anything else?"), 2)
        assert [guess.response for guess in guesses] == ["No, thanks.", "No."]
        assert guesses[0].probability == pytest.approx(0.75 * 8 / 9, abs=0.1)
        assert guesses[1].probability == pytest.approx(0.25 * 8 / 9, abs=0.05)

    def test_an_id_that_was_said_is_the_one_of_this_user(self, guesser):
        said = (HELLO, "Please cancel order #W7777.", "Which order is it about?")
        assert responses(guesser, *said)[0] == "It is about #W7777."

    def test_a_message_is_known_again_with_other_ids(self, guesser):
        said = (HELLO, "Please cancel order #W7777.", "I will cancel #W7777. Is that right?")
        (best, *_) = guesser.guess(asked(*said), 3)
        assert best.response == "Yes, it is." and best.probability > 0.8

    def test_what_nobody_has_said_is_not_guessed_and_keeps_its_share(self, guesser):
        guesses = guesser.guess(asked(HELLO, "Please cancel order #W7777.", "What is your e-mail address?"), 8)
        assert not any("mail" in guess.response for guess in guesses)
        assert sum(guess.probability for guess in guesses) < 0.2

    def test_a_new_message_with_a_known_question_is_like_those_that_asked_it(self, guesser):
        said = (HELLO, "Please cancel order #W7777.", "That was easy. Anything else?")
        assert responses(guesser, *said)[0] == "No, thanks."

    def test_observe_learns_too(self):
        guesser = ReplyGuesser()
        guesser.observe(asked(HELLO), "Good evening.")
        assert responses(guesser, HELLO) == ["Good evening."]


class TestWithoutLearning:
    def test_a_question_for_confirmation_is_answered_with_yes(self):
        assert responses(ReplyGuesser(), HELLO, "Cancel it.", "Do you confirm this (yes/no)?") == ["Yes."]
        assert responses(ReplyGuesser(), HELLO, "Cancel it.", "What is your name?") == []

    def test_a_user_who_has_answered_such_a_question_before_answers_alike(self):
        said = (HELLO, "Hi.", "Shall I cancel #W1?", "Go on, do it.", "Done. And then?", "#W2.", "Shall I cancel #W2?")
        assert responses(ReplyGuesser(), *said) == ["Go on, do it.", "Yes."]


def test_only_what_was_said_is_looked_at(guesser):
    """A ``Query`` here has nothing but ``said``: any other attribute would raise."""
    assert not hasattr(Query(), "task") and not hasattr(Query(), "seed")
    assert responses(guesser, HELLO)


def test_other_queries_say_where_the_dialogue_is():
    guesser = ReplyGuesser(said=lambda query: query["messages"])
    call = Call("user", {"messages": (HELLO,)})
    guesser.observe(call, "Hi.")
    assert [guess.response for guess in guesser.guess(call, 1)] == ["Hi."]


def test_strength_is_checked():
    with pytest.raises(InvalidConfiguration, match="strength must be above 0, not 0"):
        ReplyGuesser(strength=0)


MESSAGES = st.lists(
    st.text(max_size=30) | st.sampled_from([HELLO, "#W12", "a@b.example 5", "Confirm? yes/no"]), max_size=7
)


@given(MESSAGES, MESSAGES, st.integers(1, 5))
def test_guesses_are_few_different_and_probabilities(learned, said, k):
    guesser = ReplyGuesser()
    guesser.learn(tuple(learned[:length]) for length in range(2, len(learned) + 1, 2))
    guesses = guesser.guess(asked(HELLO, *said[: len(said) // 2 * 2]), k)
    assert len(guesses) <= k
    assert len({guess.response for guess in guesses}) == len(guesses)
    assert sum(guess.probability for guess in guesses) <= 1 + 1e-9
    shares = [guess.probability for guess in guesses]
    assert shares == sorted(shares, reverse=True)


def test_what_was_learned_is_what_is_said():
    """Messages with ids, numbers and names that repeat: a template that was learned fills in to itself."""
    rng = random.Random(0)
    words = ["#W12", "#W123", "12", "12.50", "a@b.example", "my", "order", "card", "1234", "2024-05-01", '"x y"']
    for _ in range(300):
        said = tuple(" ".join(rng.choices(words, k=rng.randint(1, 6))) for _ in range(rng.choice([1, 3, 5])))
        reply = " ".join(rng.choices(words, k=rng.randint(1, 5)))
        guesser = ReplyGuesser()
        guesser.learn([(*said, reply)])
        if set(reply.split()) <= set(" ".join(said).split()) | {"my", "order", "card"}:
            assert reply in responses(guesser, *said, k=8)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("Yes, please.", "yes  please", True),
        ("My card ending in 7334.", "my card, ending in 7334", True),
        ("It is a.b@c.example", "It is ab@c.example", False),
        ("Order #W12", "Order #W13", False),
        ("Yes.", "No.", False),
        ("That is all. ###STOP###", "That is all.", False),
    ],
)
def test_normalised_ignores_case_punctuation_and_spacing_alone(one, other, equal):
    assert (normalised(one) == normalised(other)) is equal
