import sys
from importlib import import_module
from pathlib import Path

import pytest

from app.process.deferred_imports import deferred

_SOURCES = {
    "deferring/__init__.py": "",
    "deferring/names.py": "class Name:\n    kind = 'real'\n\n\nclass Special(Name):\n    pass\n\n\ndef double(n):\n    return 2 * n\n",
    "deferring/user.py": (
        "from deferring import names\n"
        "from deferring.names import Name, double\n\n\n"
        "def make(given: Name | None = None) -> dict[str, Name]:\n    return {'made': given or Name()}\n"
    ),
    "deferring/early.py": "from deferring.names import double\n\nFOUR = double(2)\n",
}
_NAMES = "deferring.names"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in _SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "deferring"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("package")
def test_a_deferred_module_is_loaded_when_a_name_of_it_is_first_used() -> None:
    with deferred(_NAMES):
        user = import_module("deferring.user")
    assert _NAMES not in sys.modules
    made = user.make()["made"]
    assert type(made) is sys.modules[_NAMES].Name
    assert user.double(4) == 8
    assert user.Name.kind == "real"
    assert isinstance(made, user.Name)
    assert not isinstance(1, user.Name)
    assert issubclass(sys.modules[_NAMES].Special, user.Name)
    assert not issubclass(int, user.Name)


@pytest.mark.usefixtures("package")
def test_a_class_can_inherit_from_a_deferred_one() -> None:
    with deferred(_NAMES):
        user = import_module("deferring.user")

    class Own(user.Name):  # type: ignore[misc, name-defined]
        def own_kind(self) -> str:
            return f"own {super().__getattribute__('kind')}"

    assert Own().own_kind() == "own real"
    assert Own.__mro__[1] is sys.modules[_NAMES].Name
    assert type(Own) is type


@pytest.mark.usefixtures("package")
def test_nothing_is_an_instance_of_a_class_that_is_not_loaded() -> None:
    with deferred(_NAMES):
        user = import_module("deferring.user")
        assert not isinstance(1, user.Name)
        assert not issubclass(int, user.Name)
    assert not isinstance(1, user.Name)
    assert not issubclass(int, user.Name)
    assert _NAMES not in sys.modules


@pytest.mark.usefixtures("package")
def test_a_deferred_module_itself_gives_its_members_later() -> None:
    deferring = import_module("deferring")

    with deferred(_NAMES):
        user = import_module("deferring.user")
    assert deferring.names is user.names
    assert user.names.double is sys.modules[_NAMES].double
    assert deferring.names is sys.modules[_NAMES]


@pytest.mark.usefixtures("package")
def test_a_name_that_an_import_uses_loads_its_module_at_once() -> None:
    with deferred(_NAMES):
        early = import_module("deferring.early")
    assert early.FOUR == 4
    assert _NAMES in sys.modules


@pytest.mark.usefixtures("package")
def test_a_module_that_is_loaded_already_stays() -> None:
    names = import_module("deferring.names")

    with deferred(_NAMES):
        user = import_module("deferring.user")
    assert user.Name is names.Name


@pytest.mark.usefixtures("package")
def test_a_deferred_module_has_no_special_members() -> None:
    with deferred(_NAMES):
        user = import_module("deferring.user")

        assert not hasattr(user.names, "__all__")
    assert not hasattr(user.Name, "__origin__")
