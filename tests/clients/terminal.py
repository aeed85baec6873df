"""profanity in a terminal: tmux holds the screen, keys go in as a person types them, the screen is read as text."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

STEP_SECONDS = 20.0


class Profanity:
    """One running profanity with a home of its own."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="mlink-profanity-"))
        self._socket = f"mlink-{secrets.token_hex(4)}"
        config = self.home / "config" / "profanity"
        config.mkdir(parents=True)
        (config / "profrc").write_text("[ui]\nsplash=false\nmouse=false\n[notifications]\nmessage=false\nroom=off\n")

    def start(self) -> None:
        """Start it in a new terminal."""
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
        }
        environment.pop("TMUX", None)
        command = f"profanity -l DEBUG -f {self.home / 'log'}"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "50", command, env=environment)

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, *arguments], env=env, capture_output=True, text=True, timeout=10, check=False
        )
        assert done.returncode == 0 or "kill-server" in arguments, done.stderr
        return done.stdout

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    def screen(self) -> str:
        """What a person sees."""
        return self._tmux("capture-pane", "-p")

    async def sees(self, *texts: str) -> str:
        """Wait until all of these stand on the screen; raises AssertionError with the screen."""
        deadline = asyncio.get_running_loop().time() + STEP_SECONDS
        while True:
            screen = self.screen()
            if all(text in screen for text in texts):
                return screen
            assert asyncio.get_running_loop().time() < deadline, f"{texts} is not on the screen:\n{screen}"
            await asyncio.sleep(0.05)

    async def sign_in(self, jid: str, password: str, port: int) -> None:
        """Connect by STARTTLS, trusting the node's own certificate, and give the password when asked."""
        await self.sees("Profanity")
        self.type(f"/connect {jid} server 127.0.0.1 port {port} tls trust")
        await self.sees("Enter password")
        self.type(password)
        await self.sees(f"{jid}/", "logged in successfully")

    def stop(self) -> None:
        """End it and delete its home."""
        self._tmux("kill-server")
        shutil.rmtree(self.home, ignore_errors=True)
