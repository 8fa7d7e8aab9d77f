"""Foundation models and inference profiles."""

import httpx
import pytest

from app.emulator.keys import BEARER

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("query", ["maxResults=abc", "maxResults=0", "nextToken=-3"])
def test_paging_out_of_bounds_is_refused(url: str, query: str) -> None:
    assert (
        httpx.get(f"{url}/inference-profiles?{query}", headers={"authorization": f"Bearer {BEARER}"}).status_code == 400
    )


def test_models_and_profiles_are_listed_and_found(url: str) -> None:
    def get(path: str) -> httpx.Response:
        return httpx.get(url + path, headers={"authorization": f"Bearer {BEARER}"})

    assert get("/foundation-models?byOutputModality=EMBEDDING&byInferenceType=ON_DEMAND").json()["modelSummaries"]
    assert get("/inference-profiles?type=APPLICATION").json() == {"inferenceProfileSummaries": []}
    arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Famazon.nova-pro-v1%3A0"
    assert get(f"/inference-profiles/{arn}").json()["type"] == "APPLICATION"
    for missing in ("/foundation-models/nothing", "/inference-profiles/nothing"):
        assert (get(missing).status_code, "message" in get(missing).json()) == (404, True)
