"""Questions are read from HotpotQA's files, and answers scored as HotpotQA does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.loading import load_questions
from spec_envs.search.questions import Question, exact_match, f1, normalize_answer

DEV500 = Path(__file__).parents[2].parent / "shared" / "data" / "hotpotqa_react" / "questions_dev500.json"


@pytest.mark.skipif(not DEV500.is_file(), reason=f"HotpotQA's questions are not in {DEV500.parent}")
def test_the_first_500_of_hotpotqa():
    questions = load_questions(DEV500)
    assert len(questions) == 500
    text = "Were Scott Derrickson and Ed Wood of the same nationality?"
    assert questions[0] == Question("0", text, "yes", "comparison")


def test_the_official_release(tmp_path):
    entry = {
        "_id": "5a8b57f2",
        "question": "Who?",
        "answer": "Ada",
        "type": "bridge",
        "level": "hard",
        "supporting_facts": [["B", 0], ["A", 0], ["B", 1]],
        "context": [["A", ["a"]], ["B", ["b"]]],
    }
    path = tmp_path / "hotpot_dev_distractor_v1.json"
    path.write_text(json.dumps([entry]), encoding="utf-8")
    assert load_questions(path, "dev") == (Question("5a8b57f2", "Who?", "Ada", "bridge", ("B", "A")),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "list of questions"),
        ('{"data": []}', "list of questions"),
        ('[{"question": "Who?"}]', "question 0 of"),
        ('[{"question": "Who?", "answer": 3}]', "question 0 of"),
        ('[{"question": "Who?", "answer": "x", "supporting_facts": 3}]', "question 0 of"),
        ('["Who?"]', "question 0 of"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    path = tmp_path / "questions.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match=message):
        load_questions(path)


def test_what_is_no_source():
    with pytest.raises(InvalidConfiguration, match="neither"):
        load_questions("nothing.json")
    with pytest.raises(InvalidConfiguration, match="split must be one of"):
        load_questions("embedded", "validation")


@pytest.mark.parametrize(
    ("answer", "gold", "em", "score"),
    [
        ("The River Ash!", "river ash", True, 1.0),
        ("Chief of Protocol", "Chief of Protocol of the United States", False, 2 * 3 / (3 + 6)),
        ("yes", "Yes.", True, 1.0),
        ("yes it is", "yes", False, 0.0),
        ("no", "yes", False, 0.0),
        ("", "Ada", False, 0.0),
        ("a b b", "b b b", False, 2 * 2 / (2 + 3)),
    ],
)
def test_known_scores(answer, gold, em, score):
    assert exact_match(answer, gold) is em
    assert f1(answer, gold) == pytest.approx(score)


@given(st.text(max_size=30), st.text(max_size=30))
def test_scores_are_symmetric_and_agree(one, other):
    assert f1(one, other) == f1(other, one)
    assert 0.0 <= f1(one, other) <= 1.0
    assert normalize_answer(normalize_answer(one)) == normalize_answer(one) or "an" in one.lower() or "a" in one.lower()
    if exact_match(one, other) and normalize_answer(one):
        assert f1(one, other) == 1.0
