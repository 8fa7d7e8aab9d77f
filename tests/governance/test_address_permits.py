from contextlib import ExitStack

import pytest

from app.errors import GatewayBusy
from app.governance.address_permits import AddressPermits


def test_one_address_holds_no_more_than_its_permits() -> None:
    permits = AddressPermits(2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(permits.permit("192.0.2.1"))
        with pytest.raises(GatewayBusy), permits.permit("192.0.2.1"):
            pass
        with permits.permit("192.0.2.2"):
            pass
    with permits.permit("192.0.2.1"):
        pass


def test_an_unknown_address_is_not_limited() -> None:
    permits = AddressPermits(1)
    with permits.permit(""), permits.permit(""):
        pass
