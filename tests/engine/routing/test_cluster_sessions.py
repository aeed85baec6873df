"""Sessions of one account, and of people who talk, on different nodes of a cluster."""

from __future__ import annotations

from tests.cluster_story import ClusterStory


async def test_people_on_one_node_of_a_cluster_talk(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n1")
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>Hi</body></message>")
    await juliet.receives(f"<message from='{romeo.full}' type='chat'><body>Hi</body></message>")
