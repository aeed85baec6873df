"""A rolling upgrade for real: `python -m tests.cluster.upgrade COMMIT` starts two nodes of an older commit of this
repository, has people chat, and takes one node after the other to the files as they are here: drained, stopped,
started anew. Nothing may be lost, doubled or out of order, and nobody is without service.

No test of every run: what an older version was is not in every checkout. Needs what the other tests here need.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.site import DOMAIN, Site, SiteNode, running_site
from tests.cluster.storm import PAIRS, PASSWORD, Storm
from tests.live import ROOT

NODES = 2
#: Messages of each sender that are acknowledged in each state of the cluster.
ENOUGH = 150


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The files of a commit; raises CalledProcessError where there is no such."""
    with tempfile.TemporaryDirectory(prefix="mlink-older-") as folder:
        path = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", str(path), commit], check=True, capture_output=True, text=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=False, capture_output=True)


def command(node: SiteNode, *arguments: str) -> str:
    """What `xmppctl` of the node's own files says; raises CalledProcessError."""
    program = [sys.executable, str(node.root / "manage.py"), "xmppctl", *arguments]
    done = subprocess.run(program, env=node.environment(), check=True, capture_output=True, text=True)
    return done.stdout


class Upgrade(Storm):
    """The chat, and the nodes that are upgraded while it goes on."""

    async def _blow(self) -> None:
        for node in [None, *self.nodes]:
            if node is not None:
                await asyncio.to_thread(self._empty, node)
                node.root = ROOT
                # In this thread: a process dies with the thread that has started it.
                node.spawn()
                await asyncio.to_thread(node.waited)
                await asyncio.to_thread(self.site.whole, self.nodes)
            await self._going_on(ENOUGH)
            print(await asyncio.to_thread(command, self.nodes[0], "cluster"), flush=True)

    def _empty(self, node: SiteNode) -> None:
        """Drain and stop a node, as docs/cluster.md says."""
        deadline = time.monotonic() + 60
        while '"drained"' not in command(node, "--json", "cluster", "drain", node.name, "--rate", "200"):
            assert time.monotonic() < deadline, node.log_tail()
            time.sleep(0.5)
        begun = time.monotonic()
        code = node.stop()
        assert code == 0, node.log_tail()
        print(f"{node.name} was drained and has stopped in {time.monotonic() - begun:.1f} s", flush=True)


def tried(site: Site, older: Path) -> list[str]:
    """What went wrong."""
    nodes = [site.prepare() for _ in range(NODES)]
    for node in nodes:
        node.root = older
    nodes[0].start()
    nodes[1].start()
    accounts = nodes[0].home / "accounts.csv"
    accounts.write_text("".join(f"{kind}{number}@{DOMAIN},{PASSWORD}\n" for number in range(PAIRS) for kind in "sr"))
    command(nodes[0], "user", "import", str(accounts))
    site.whole(nodes)
    upgrade = Upgrade(site, nodes, random.SystemRandom().randrange(2**31))
    asyncio.run(upgrade.run())
    faults = []
    for talker in upgrade.talkers:
        lost, doubled, disordered = talker.missing(), talker.doubled([]), talker.disordered([])
        if set(talker.made) != talker.client.durable:
            faults.append(f"{talker.client.account}: not everything was acknowledged")
        for what, ids in (("lost", lost), ("doubled", doubled), ("disordered", [one for one, _other in disordered])):
            faults += [f"{len(ids)} {what}, the first {talker.story(ids[0])}"] if ids else []
    sessions = [client for talker in upgrade.talkers for client in (talker.client, talker.listener)]
    print(
        f"{sum(len(talker.made) for talker in upgrade.talkers)} messages,"
        f" {sum(client.resumptions for client in sessions)} streams resumed,"
        f" {sum(client.refusals for client in sessions)} refused"
    )
    for node in nodes:
        lines = node.log.read_text(errors="replace").splitlines()
        odd = [line for line in lines if " ERROR " in line or " CRITICAL " in line or line.startswith("Traceback")]
        faults += [f"{node.name}: {line}" for line in odd]
    return faults


def main() -> None:
    """Try it, and end with 1 where something went wrong."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with checkout(sys.argv[1]) as older, running_site() as site:
        faults = tried(site, older)
    print("\n".join(faults) or "Nothing was lost, doubled or out of order.")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
