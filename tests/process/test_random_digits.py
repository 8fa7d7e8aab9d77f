import os
import re

from app.process.random_digits import random_digits


def test_digits_are_hexadecimal_and_new() -> None:
    drawn = [random_digits() for _ in range(200)]
    assert len(set(drawn)) == 200
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in drawn)


def test_a_forked_process_draws_others() -> None:
    random_digits()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, random_digits().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 32).decode() != random_digits()
