"""Tokens per day that are spent: who is refused, and who tries again."""

from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.errors import DayQuotaSpent, RateLimited
from app.governance.quotas.daily import PROBE_SECONDS, DailyQuotas


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_one_call_after_a_while_tries_again_and_a_success_ends_it() -> None:
    clock = Clock()
    days = DailyQuotas(clock)
    assert not days.probe_at
    assert days.refusal(DEFAULT_LOCATION) is None
    days.note(DEFAULT_LOCATION, DayQuotaSpent("spent"))
    assert days.is_spent(DEFAULT_LOCATION)
    refused = days.refusal(DEFAULT_LOCATION)
    assert refused is not None
    assert refused.retry_after == PROBE_SECONDS
    assert (refused.retry_here, refused.retry_elsewhere) == (False, True)
    clock.now += PROBE_SECONDS
    assert days.refusal(DEFAULT_LOCATION) is None, "the probe"
    assert days.refusal(DEFAULT_LOCATION) is not None, "it is under way"
    days.note(DEFAULT_LOCATION, RateLimited("of the minute"))
    assert days.is_spent(DEFAULT_LOCATION)
    days.note(DEFAULT_LOCATION, None)
    assert not days.probe_at


def test_each_region_and_account_has_its_own() -> None:
    days = DailyQuotas(Clock())
    days.note(UpstreamLocation("eu-west-1"), DayQuotaSpent("spent"))
    assert days.refusal(DEFAULT_LOCATION) is None
    assert days.refusal(UpstreamLocation("eu-west-1")) is not None
