"""Secrets of virtual keys: what is stored of them, and how guesses are recognized."""

import base64

import pytest

from app.governance.identity.key_secrets import (
    SigningCipher,
    hash_of,
    is_genuine,
    is_key_id,
    key_id_of,
    new_secret,
)
from app.storage.records import new_id

PEPPER = b"a pepper of at least thirty-two bytes"


def test_a_secret_names_its_key_and_is_never_the_same() -> None:
    key_id = new_id()
    texts = {new_secret(key_id, PEPPER)[0] for _ in range(100)}
    assert len(texts) == 100
    for text in texts:
        assert key_id_of(text) == key_id
        assert is_genuine(text, PEPPER)
        # one double click selects it, and no program cuts it
        assert text.replace("_", "").isalnum()
    assert is_key_id(key_id)


def test_what_is_stored_recognizes_a_secret_and_does_not_hold_it() -> None:
    text, stored = new_secret(new_id(), PEPPER)
    assert stored.hash == hash_of(text, PEPPER)
    assert stored.hash != hash_of(text, PEPPER + b"!")
    assert stored.signing is not None
    random = text.rpartition("_")[2]
    for kept in (stored.hash, stored.signing):
        for form in (text.encode(), random.encode(), base64.b32decode(random.upper())[:32]):
            assert form not in kept
            assert form[:16] not in kept


def test_only_the_pepper_and_the_key_open_what_sigv4_needs() -> None:
    key_id = new_id()
    text, stored = new_secret(key_id, PEPPER)
    assert stored.signing is not None
    assert SigningCipher(PEPPER).decrypt(key_id, stored.signing) == text
    assert SigningCipher(PEPPER + b"!").decrypt(key_id, stored.signing) is None
    assert SigningCipher(PEPPER).decrypt(new_id(), stored.signing) is None
    assert SigningCipher(PEPPER).decrypt(key_id, stored.signing[:-1] + b"x") is None
    assert SigningCipher(PEPPER).encrypt(key_id, text) != stored.signing


@pytest.mark.parametrize("position", [3, 28, 30, 60, 93])
def test_a_changed_secret_is_not_genuine(position: int) -> None:
    text, _ = new_secret(new_id(), PEPPER)
    other = "b" if text[position] != "b" else "c"
    changed = text[:position] + other + text[position + 1 :]
    assert not is_genuine(changed, PEPPER)
    assert not is_genuine(text, PEPPER + b"!")


@pytest.mark.parametrize("text", ["", "oc_", "sk-1234", "oc_1_2", "oc_" + "0" * 26 + "_" + "a" * 63, "\udcff", "oc_é"])
def test_other_texts_are_no_secrets(text: str) -> None:
    assert key_id_of(text) == ""
    assert not is_genuine(text, PEPPER)
