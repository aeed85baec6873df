"""Child processes of the benchmark: start, stop, and what the kernel says they cost.

CPU time is user plus system time of the server's whole process tree, read from /proc, so work that a server pushes to a
helper process is counted. Children die with the benchmark: at normal exit by `stop`, and by the kernel's parent-death
signal if the benchmark itself is killed.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.services import dying_by

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


class StartError(RuntimeError):
    """A server is not installed or did not come up in time; the text says which and shows its last log lines."""


def outer_environment() -> dict[str, str]:
    """Return this process's environment without the settings of a node that someone runs from the same shell."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MLINK_")}


def free_port() -> int:
    """Return a loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process_tree(root: int) -> list[int]:
    """Return the process ids of `root` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_bytes()
            except OSError:
                continue
            parent = int(stat[stat.rindex(b")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(entry))
    tree, queue = [], [root]
    while queue:
        pid = queue.pop()
        tree.append(pid)
        queue.extend(children.get(pid, ()))
    return tree


def cpu_seconds(root: int) -> float:
    """Return user plus system CPU seconds used so far by the tree of `root`, reaped children included."""
    ticks = 0
    for pid in process_tree(root):
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            continue
        fields = stat[stat.rindex(b")") + 2 :].split()
        ticks += sum(int(value) for value in fields[11:15])
    return ticks * _TICK


def resident_bytes(root: int) -> int:
    """Return the resident memory of the tree of `root` in bytes."""
    total = 0
    for pid in process_tree(root):
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total


def machine_seconds() -> float:
    """Return the CPU seconds the whole machine has been busy since it started, all cores together, steal included."""
    fields = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) * _TICK


def family_seconds() -> float:
    """Return the CPU seconds used so far by this process and its children, living and reaped."""
    return cpu_seconds(os.getpid())


class Child:
    """One server process with its log file."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], home: Path) -> None:
        """Start `command` in `home` with `env` over the current environment; output goes to `home`/console.log.

        Raises StartError when the program does not exist.
        """
        self.name = name
        self.console = home / "console.log"
        if shutil.which(command[0]) is None:
            raise StartError(f"{name} is not installed: {command[0]} was not found")
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                [*dying_by("KILL"), *command],
                cwd=home,
                env={**outer_environment(), **env},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return once `ready()` is true; raises StartError after `seconds` or when the process ends before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise StartError(f"{self.name} ended with status {self._process.returncode}:\n{self.last_lines()}")
            if ready():
                return
            time.sleep(0.1)
        raise StartError(f"{self.name} was not ready after {seconds:.0f} s:\n{self.last_lines()}")

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the console output."""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-count:])

    def stop(self) -> None:
        """End the process and its session: SIGTERM, and after five seconds SIGKILL."""
        for signum, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self.pid, signum)
            except ProcessLookupError:
                break
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def listening(port: int) -> bool:
    """Return whether something accepts connections on the loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def write_certificate(directory: Path, host: str) -> tuple[Path, Path]:
    """Write a self-signed P-256 certificate for `host`; return the paths of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / f"{host}.crt", directory / f"{host}.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path
