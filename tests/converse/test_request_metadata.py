import hashlib

from app.converse.request_metadata import request_metadata


def test_ids_of_people_are_hashed_and_labels_are_unchanged() -> None:
    labels, unfit = request_metadata(
        {"user": "ada@example.org", "safety_identifier": None}, {"team": "blue", "run": "7"}
    )
    assert labels == {
        "user": hashlib.sha256(b"ada@example.org").hexdigest()[:32],
        "team": "blue",
        "run": "7",
    }
    assert unfit == []


def test_labels_that_aws_refuses_are_named() -> None:
    many = {f"k{number}": "v" for number in range(17)}
    labels, unfit = request_metadata({}, {"a": "é", "b": 5, "": "v", "c": "x" * 257, "d\u00a0e": "v", **many})
    assert unfit == ["a", "b", "", "c", "d\u00a0e", "k16"]
    assert len(labels) == 16


def test_a_label_does_not_replace_the_id_of_a_person() -> None:
    labels, unfit = request_metadata({"user": "\ud800"}, {"user": "ada"})
    assert len(labels["user"]) == 32
    assert unfit == ["user"]
