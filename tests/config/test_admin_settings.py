"""ADMIN_KEYS is checked at the start."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.servers import gateway_settings

SECRET = "an-administrator-s-key"


def settings(tmp_path: Path, **changes: Any) -> Any:
    database = {"database_url": f"sqlite:///{tmp_path}/outcrop.db", "key_pepper": "p" * 32}
    return gateway_settings("http://127.0.0.1:9", **{**database, **changes})


def test_administrators_have_names_and_secrets(tmp_path: Path) -> None:
    keys = f"ops={SECRET},ops={SECRET}-2,ci={SECRET}-3"
    assert settings(tmp_path, admin_keys=keys).administrators() == {
        "ops": (SECRET, f"{SECRET}-2"),
        "ci": (f"{SECRET}-3",),
    }
    assert settings(tmp_path).administrators() == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"admin_keys": "ops=short"}, "can be guessed"),
        ({"admin_keys": f"ops={SECRET}", "database_url": None}, "set DATABASE_URL"),
        ({"admin_keys": f"ops={SECRET}", "api_keys": f"team={SECRET}"}, "in ADMIN_KEYS too"),
        ({"admin_keys": f"ops={SECRET}", "smoke_api_key": SECRET}, "in ADMIN_KEYS too"),
    ],
)
def test_keys_that_are_unsafe_end_the_start(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as refused:
        settings(tmp_path, **changes)
    assert SECRET not in str(refused.value.errors(include_input=False))
