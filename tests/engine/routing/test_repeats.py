"""What the node of a sender and that of a lost session both bring home comes once."""

from __future__ import annotations

from archive.memory import MemoryReader
from tests.cluster_story import ClusterStory, bodies
from tests.story import MODULES, Client
from xmpp_engine.xml import ns


async def told_twice(cluster: ClusterStory) -> tuple[Client, Client]:
    """Romeo, and Juliet in a new session, who has had a message that both nodes still have: its acknowledgements came
    back neither to Romeo's node nor from Juliet's client when her node hung."""
    await cluster.begin(nodes=3, modules=(*MODULES, "archive.engine.Archive"), extras={"archive": MemoryReader()})
    romeo = await cluster.world.login("romeo n1")
    old = await cluster.world.login("juliet n2", "balcony")
    await old.comes_online()
    old.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
    await old.receives(f"<enabled xmlns='{ns.SM}'/>")
    cluster.world.hub.cut("n2", "n1", both=False)
    romeo.send(f"<message to='{old.bare}' type='chat'><body>once</body></message>")
    assert bodies(await old.receives_all()) == ["once"]
    cluster.world.freeze("n2")
    await cluster.world.notice()
    new = await cluster.world.login("juliet n3", "balcony")
    new.send("<presence/>")
    assert bodies(await new.receives_all()) == ["once"]
    return romeo, new


async def test_what_both_nodes_bring_home_comes_once(cluster: ClusterStory) -> None:
    romeo, new = await told_twice(cluster)
    cluster.world.heal()
    cluster.world.thaw("n2")
    await cluster.world.notice()
    assert bodies(await new.receives_all()) == []
    romeo.send(f"<message to='{new.bare}' type='chat'><body>once</body></message>")
    assert bodies(await new.receives_all()) == ["once"], "another message that says the same"
