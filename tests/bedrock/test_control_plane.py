"""Requests to the control plane, and which callers wait for them."""

import asyncio
import time

import pytest

from app.bedrock.control_plane import ModelDirectory
from app.models.ids import ModelId, parse_model_id

ARN = parse_model_id("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc")


@pytest.mark.parametrize(
    ("locations", "behind"),
    [
        (["us-east-1"], "arn:aws:bedrock:us-east-1::foundation-model/a.b"),
        (["us-east-1", "us-west-2"], "arn:aws:bedrock:us-east-1::foundation-model/a.b"),
        # a global profile, which has its own price
        (["us-east-1", ""], "global.a.b"),
        ([""], "global.a.b"),
    ],
)
async def test_model_behind_an_application_profile_is_found(
    monkeypatch: pytest.MonkeyPatch, locations: list[str], behind: str
) -> None:
    async def get(*_: object, **__: object) -> dict[str, object]:
        return {"models": [{"modelArn": f"arn:aws:bedrock:{location}::foundation-model/a.b"} for location in locations]}

    monkeypatch.setattr(ModelDirectory, "_get", get)
    known: dict[str, ModelId] = {}
    await ModelDirectory(None).look_up(ARN, known, None, 1.0)  # type: ignore[arg-type]
    assert (known[ARN.raw].raw, known[ARN.raw].base) == (behind, "a.b")


@pytest.mark.timed
async def test_only_the_first_callers_wait_for_the_model_behind_an_arn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, may_tell = [], asyncio.Event()

    async def get(_: object, path: str, **__: object) -> dict[str, object]:
        asked.append(path)
        await may_tell.wait()
        return {"models": [{"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/a.b"}]}

    monkeypatch.setattr(ModelDirectory, "_get", get)
    directory = ModelDirectory(None)  # type: ignore[arg-type]
    known: dict[str, ModelId] = {}

    async def seconds(timeout_seconds: float = 0.2) -> float:
        started = time.monotonic()
        await directory.look_up(ARN, known, None, timeout_seconds)  # type: ignore[arg-type]
        return time.monotonic() - started

    assert await seconds(timeout_seconds=0.0) < 0.1
    first, second = await asyncio.gather(seconds(), seconds())
    assert min(first, second) > 0.15
    assert await seconds() < 0.1
    may_tell.set()
    while not known:
        await asyncio.sleep(0)
    assert (len(asked), known[ARN.raw].base) == (1, "a.b")
    await directory.close()
