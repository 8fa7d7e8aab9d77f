"""The command that compares the prices with a public list."""

from pathlib import Path
from typing import Any

import pytest

from app.models.prices import Prices
from app.wire import json
from scripts import prices

LIST: Any = {
    "sample_spec": {"litellm_provider": "one of ..."},
    "gpt-4": {"litellm_provider": "openai", "input_cost_per_token": 1e-05, "output_cost_per_token": 1e-05},
    "global.vendor.new-v1:0": {
        "litellm_provider": "bedrock_converse",
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 2e-07,
        "input_cost_per_token_above_272k_tokens": 4e-06,
        "output_cost_per_token_above_272k_tokens": 1.5e-05,
        "input_cost_per_token_flex": 1e-06,
    },
    "us.vendor.new-v1:0": {
        "litellm_provider": "bedrock_converse",
        "input_cost_per_token": 2.2e-06,
        "output_cost_per_token": 1.1e-05,
    },
    "bedrock/ap-south-1/vendor.new-v1:0": {
        "litellm_provider": "bedrock",
        "input_cost_per_token": 9e-06,
        "output_cost_per_token": 9e-06,
    },
    "amazon.nova-micro-v1:0": {
        "litellm_provider": "bedrock_converse",
        "input_cost_per_token": 4e-08,
        "output_cost_per_token": 1.4e-07,
    },
    "amazon.rerank-v1:0": {"litellm_provider": "bedrock", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
}
NEW = {
    "input": 2.0,
    "output": 10.0,
    "cache_read": 0.2,
    "regional": 1.1,
    "beyond": {"tokens": 272_000, "input": 4.0, "output": 15.0},
    "tiers": ["flex"],
}


def test_a_row_is_made_of_the_entries_of_all_profiles() -> None:
    rows = prices.rows_of(LIST)
    assert rows == {"vendor.new-v1:0": NEW, "amazon.nova-micro-v1:0": {"input": 0.04, "output": 0.14}}


def test_the_command_shows_the_difference_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, given = tmp_path / "prices.json", tmp_path / "list.json"
    file.write_bytes(prices.FILE.read_bytes())
    given.write_bytes(json.dumps(LIST))
    monkeypatch.setattr(prices, "FILE", file)
    assert prices.main([str(given)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"+ vendor.new-v1:0 {json.dumps_text(NEW)}" in lines
    assert "~ amazon.nova-micro-v1:0 input 0.035 -> 0.04" in lines
    assert "- amazon.nova-pro-v1:0" in lines
    assert file.read_bytes() == Path(prices.__file__).parent.parent.joinpath("app/models/prices.json").read_bytes()
    with pytest.raises(SystemExit):
        prices.main([str(given), "--write", "--source", "list, 2026-12"])
    assert prices.main([str(given), "--write", "--source", "list, 2026-12", "--second", "cards, 2026-12"]) == 0
    written = json.loads(file.read_bytes())
    assert written["sources"][-2:] == ["list, 2026-12", "cards, 2026-12"]
    count = len(written["sources"])
    assert written["models"]["vendor.new-v1:0"] == {**NEW, "sources": [count - 2, count - 1]}
    assert written["models"]["amazon.nova-micro-v1:0"]["input"] == 0.04
    assert "amazon.nova-pro-v1:0" in written["models"]
    capsys.readouterr()
    prices.main([str(given)])
    assert not [line for line in capsys.readouterr().out.splitlines() if not line.startswith("-")]


def test_the_file_is_written_as_the_command_writes_it() -> None:
    document = json.loads(prices.FILE.read_bytes())
    assert prices.render(document) == prices.FILE.read_text()
    assert Prices().version == document["version"]
