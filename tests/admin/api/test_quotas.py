"""Bedrock's quotas over the admin API: what calls of teams reserved and took."""

import httpx
import pytest

from tests.admin.api.conftest import ADMIN_KEY
from tests.end_to_end.test_quotas import body, quota
from tests.quota_bedrock import QuotaBedrock
from tests.quota_callers import INPUT, MAX_TOKENS, MODEL
from tests.servers import gateway, upstream

pytestmark = pytest.mark.loopback


def test_what_each_team_reserves_and_takes_is_shown(admin_settings: dict[str, str]) -> None:
    bedrock = QuotaBedrock(600_000)
    settings = {**admin_settings, "native_surfaces": "none", "config_toml": quota(600_000)}
    with (
        upstream(bedrock.handle) as at,
        gateway(at, **settings) as base,
        httpx.Client(base_url=base, headers={"x-api-key": ADMIN_KEY}, timeout=20) as admin,
    ):
        assert admin.get("/admin/v1/quotas").json()["data"] == [], "no call has needed one yet"
        team = admin.post("/admin/v1/teams", json={"name": "a team of quotas"}).json()
        key = admin.post("/admin/v1/keys", json={"name": "k", "team_id": team["id"]}).json()
        caller = {"authorization": f"Bearer {key['secret']}"}
        for _ in range(2):
            answer = httpx.post(f"{base}/v1/chat/completions", json=body("openai"), headers=caller, timeout=20)
            assert answer.status_code == 200, answer.text
        (shown,) = admin.get("/admin/v1/quotas").json()["data"]
        assert httpx.get(f"{base}/admin/v1/quotas", headers=caller, timeout=20).status_code in (401, 403)
    taken = INPUT + 20 * 5
    assert (shown["model"], shown["location"], shown["endpoint"]) == (MODEL, "", "runtime")
    assert (shown["tokens_per_minute"], shown["source"], shown["target"]) == (600_000, "configuration", 0.93)
    assert (shown["calls"], shown["settled"], shown["throttled"], shown["waiting"]) == (2, 2 * taken, 0, 0)
    assert (shown["reserved_now"], shown["is_day_spent"], shown["calibration"]) == (0, False, None)
    (of_team,) = shown["teams"]
    assert (of_team["id"], of_team["settled"]) == (team["id"], 2 * taken)
    assert of_team["reserved"] == shown["reserved"] > 2 * MAX_TOKENS
    assert of_team["reserved_per_settled"] == pytest.approx(of_team["reserved"] / of_team["settled"], abs=0.01)
