"""Templates are compiled once, and kept compiled."""

from pathlib import Path

import pytest
from jinja2 import Environment

from app.console.rendering import FOLDER, Renderer

PAGE = {"error": "", "has_administrators": True, "is_open": False, "issuers": [], "title": "Sign in", "token": "t"}
VALUES = {**PAGE, "person": None, "path": "/console", "is_partial": False, "has_database": False}
TEMPLATES = {path.name for path in (FOLDER / "templates").iterdir()}


def rendered(folder: Path) -> bytes:
    return bytes(Renderer({}, folder).response("sign_in.html", 200, VALUES).body)


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all templates."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    folder = tmp_path / "__pycache__"
    Renderer({}, folder).compile_all()
    return folder


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a template was compiled")


def test_all_templates_are_kept_and_none_is_compiled_again(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {path.name.partition(".html")[0] + ".html" for path in compiled.iterdir()} == TEMPLATES
    before = rendered(compiled)
    monkeypatch.setattr(Environment, "_parse", refuse)
    assert rendered(compiled) == before
    Renderer({}, compiled).compile_all()
    assert b"<title>Sign in</title>" in before


def test_a_changed_template_is_compiled_again(compiled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    (moved / "templates").mkdir(parents=True)
    for name in TEMPLATES:
        text = (FOLDER / "templates" / name).read_text()
        (moved / "templates" / name).write_text(text.replace("<h1>{{ title }}", "<h1>Changed {{ title }}"))
    monkeypatch.setattr("app.console.rendering.FOLDER", moved)
    assert b"<h1>Changed Sign in" in rendered(compiled)


def test_damaged_files_are_compiled_again(compiled: Path) -> None:
    before = rendered(compiled)
    for path in compiled.iterdir():
        path.write_bytes(b"no template")
    assert rendered(compiled) == before


def test_a_folder_that_cannot_be_written_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    assert b"<title>Sign in</title>" in rendered(file)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert b"<title>Sign in</title>" in rendered(tmp_path / "none")
    assert not (tmp_path / "none").exists()
