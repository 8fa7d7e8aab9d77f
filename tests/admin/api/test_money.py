"""Money is exact: decimal strings outside, integer nano-dollars inside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.admin.api.documents.money import format_usd, parse_usd


@given(st.integers(0, 10**18 - 1))
def test_what_is_shown_is_read_as_the_same_amount(nano: int) -> None:
    assert parse_usd(format_usd(nano)) == nano


@pytest.mark.parametrize(
    ("text", "nano"),
    [("25.00", 25 * 10**9), ("0", 0), ("0.1", 10**8), ("0.000000001", 1), ("999999999.999999999", 10**18 - 1)],
)
def test_amounts_are_read_exactly(text: str, nano: int) -> None:
    assert parse_usd(text) == nano


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0.00"), (1, "0.000000001"), (25 * 10**9, "25.00"), (-15 * 10**8, "-1.50")]
)
def test_amounts_are_shown_with_at_least_two_decimals(nano: int, text: str) -> None:
    assert format_usd(nano) == text


@pytest.mark.parametrize(
    "value", [25, 25.0, True, None, "", "-1", "+1", "1e3", "1.", ".5", "1,00", "1.0000000001", "1234567890", "٣", "1\n"]
)
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a string with an amount"):
        parse_usd(value)
