"""Questions are read from HotpotQA's files, and answers scored as HotpotQA does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.loading import load_corpus, load_questions
from spec_envs.search.pages import Page
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


#: A question in the form of the official release, and in the form that Hugging Face gives it.
OFFICIAL = {
    "_id": "5a8b57f2",
    "question": "Who?",
    "answer": "Ada",
    "type": "bridge",
    "supporting_facts": [["B", 0], ["A", 0], ["B", 1]],
    "context": [["A", ["A is a.", " It is."]], ["B", ["B is b."]]],
}
HUGGING_FACE = {
    "id": "5a8b57f2",
    "question": "Who?",
    "answer": "Ada",
    "type": "bridge",
    "level": "hard",
    "supporting_facts": {"title": ["B", "A", "B"], "sent_id": [0, 0, 1]},
    "context": {"title": ["A", "B"], "sentences": [["A is a.", " It is."], ["B is b."]]},
}
OBJECTS = HUGGING_FACE | {
    "supporting_facts": [{"title": "B", "sent_id": 0}, {"title": "A", "sent_id": 0}],
    "context": [{"title": "A", "sentences": ["A is a.", " It is."]}, {"title": "B", "sentences": ["B is b."]}],
}
LINES = json.dumps(HUGGING_FACE) + "\n"
COLUMNS = {name: [value] for name, value in HUGGING_FACE.items()}


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("official.json", json.dumps([OFFICIAL]), 1),
        ("list.json", json.dumps([HUGGING_FACE]), 1),
        ("objects.json", json.dumps([OBJECTS]), 1),
        ("mixed.json", json.dumps([OFFICIAL, HUGGING_FACE, OBJECTS]), 3),
        ("line.jsonl", LINES, 1),
        ("lines.jsonl", f"\n{LINES}\n{LINES}", 2),
        ("lines.json", LINES * 2, 2),
        ("windows.jsonl", LINES.replace("\n", "\r\n") * 2, 2),
        ("mark.json", f"\ufeff{json.dumps([HUGGING_FACE])}", 1),
        ("mark.jsonl", f"\ufeff{LINES * 3}", 3),
        ("columns.json", json.dumps(COLUMNS), 1),
        ("rows.json", json.dumps({"features": [], "rows": [{"row_idx": 0, "row": HUGGING_FACE}]}), 1),
    ],
)
def test_hotpotqa_in_all_its_forms(tmp_path, name, text, count):
    path = tmp_path / name
    path.write_bytes(text.encode())
    wanted = Question("5a8b57f2", "Who?", "Ada", "bridge", ("B", "A"))
    assert load_questions(path) == (wanted,) * count
    assert list(load_corpus(path)) == [Page("A", ("A is a. It is.",)), Page("B", ("B is b.",))]


@pytest.mark.parametrize(
    "change",
    [
        {"context": {"title": ["A"], "sentences": []}},
        {"context": {"title": ["A"]}},
        {"context": {"title": "A", "sentences": [["a"]]}},
        {"context": {"title": ["A"], "sentences": ["a"]}},
        {"context": [{"title": "A"}]},
        {"context": [["A", ["a"], 3]]},
        {"context": [3]},
        {"context": None},
        {"supporting_facts": {"title": ["A"], "sent_id": []}},
        {"supporting_facts": [3]},
    ],
    ids=str,
)
def test_a_wrong_question_is_named(tmp_path, change):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([HUGGING_FACE, HUGGING_FACE | change]), encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match="question 1 of .*questions.json"):
        (load_corpus if "context" in change else load_questions)(path)


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
    with pytest.raises(InvalidConfiguration, match="questions must be .* HotpotQA file"):
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
