"""A client that keeps books (`durability/client.py`) and is at home on every node of a site: where one does not answer,
it goes to the next."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tests.cluster.site import SiteNode
from tests.durability.client import Client, Connection


class Roamer(Client):
    """See the module. `node` is where it was connected last."""

    def __init__(
        self, account: str, password: str, nodes: Sequence[SiteNode], resource: str, **options: object
    ) -> None:
        super().__init__(account, password, nodes[0].c2s_port, resource, **options)  # type: ignore[arg-type]
        self._nodes = itertools.cycle(nodes)
        self.node = nodes[0]

    async def open(self) -> Connection:
        """A connection to the next node."""
        self.node = next(self._nodes)
        return await Connection.open(self.node.c2s_port, self._domain, host=self.node.address)
