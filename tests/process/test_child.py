"""Questions that a child process answers."""

import os

import pytest

from app.process.child import ask_child


@pytest.mark.parametrize("answer", [True, False])
def test_the_answer_is_that_of_the_function(answer: bool) -> None:
    assert ask_child(lambda: answer) is answer


def test_the_function_runs_in_another_process() -> None:
    parent = os.getpid()
    assert ask_child(lambda: os.getppid() == parent)


def test_a_question_that_fails_is_answered_with_false() -> None:
    assert not ask_child(lambda: 1 / 0 > 0)
