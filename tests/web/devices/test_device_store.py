"""The store of devices over SQLite and PostgreSQL."""

from __future__ import annotations

from mlink_web.accounts import services
from mlink_web.devices.models import Device, Token
from mlink_web.stores.build import DatabaseStores
from tests.kits.device_kit import DeviceKit, token, visit
from tests.kits.store_kit import ROMEO, account, keys


class TestDatabase(DeviceKit):
    """See the kit."""


async def test_every_way_to_a_new_password_ends_the_tokens(stores: DatabaseStores, database: str) -> None:
    own = (await account(stores)).account_id
    await stores.devices.seen([visit(own)])
    await stores.devices.add_token(token(own))
    await stores.accounts.change_keys(ROMEO, keys(b"n"))
    assert not Token.objects.using(database).exists()
    assert Device.objects.using(database).get().methods == 0
    await stores.devices.add_token(token(own))
    services.replace_keys(ROMEO, keys(b"o"), database)
    assert not Token.objects.using(database).exists()
