from contextlib import AsyncExitStack

import pytest

from app.errors import GatewayBusy
from app.governance.address_permits import AddressPermits


async def test_one_address_holds_no_more_than_its_permits_of_a_name() -> None:
    permits = AddressPermits(2)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(permits.permit("192.0.2.1", "a"))
        with pytest.raises(GatewayBusy):
            async with permits.permit("192.0.2.1", "a"):
                pass
        async with permits.permit("192.0.2.2", "a"), permits.permit("192.0.2.1", "b"):
            pass
    async with permits.permit("192.0.2.1", "a"):
        pass


async def test_nothing_is_kept_of_addresses_that_hold_no_permit() -> None:
    permits = AddressPermits(1)
    async with permits.permit("192.0.2.1", "a"):
        with pytest.raises(GatewayBusy):
            async with permits.permit("192.0.2.1", "a"):
                pass
    assert permits._entries == {}
