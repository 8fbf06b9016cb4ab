# SPDX-License-Identifier: GPL-2.0-or-later
"""Who reaches whom: the matrix of single pings, and a ping that runs in the background."""

import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from . import netns
from .base import inherited_fds, run, wait_until

AT_ONCE = 16                # pings in flight; more only make two cores queue
REPLY_TIMEOUT_S = 2


@dataclass(frozen=True)
class Ping:
    """One cell of the matrix."""
    source: str
    target: str
    family: int
    address: str
    ok: bool
    ms: float               # round trip, None when there was no answer

    def as_dict(self):
        return asdict(self)


def ping_once(source, source_netns, target, family, address):
    done = run(netns.inside(source_netns, [
        "ping", "-n", f"-{family}", "-c", "1", "-W", str(REPLY_TIMEOUT_S), address]), check=False)
    match = re.search(r"time=([0-9.]+) ms", done.stdout)
    return Ping(source, target, family, address, done.returncode == 0,
                float(match.group(1)) if match else None)


def matrix(sources, targets):
    """Pings every target from every source, but not from itself.

    sources: [(name, netns)]; targets: [(name, {family: address})].
    """
    jobs = [(source, source_netns, target, family, address)
            for source, source_netns in sources
            for target, families in targets if target != source
            for family, address in families.items()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda job: ping_once(*job), jobs))


def format_matrix(pings):
    """One table per address family: a row per source, a column per target."""
    tables = []
    for family in sorted({ping.family for ping in pings}):
        cells = {(p.source, p.target): f"{p.ms:.2f} ms" if p.ok and p.ms is not None
                 else "ok" if p.ok else "FAIL" for p in pings if p.family == family}
        sources = list(dict.fromkeys(source for source, _ in cells))
        targets = list(dict.fromkeys(target for _, target in cells))
        # dict order is that of the first source, which does not ping itself.
        targets.sort(key=lambda name: sources.index(name) if name in sources else -1)
        rows = [[f"IPv{family} from \\ to", *targets]]
        rows += [[source, *(cells.get((source, target), "-") for target in targets)]
                 for source in sources]
        tables.append(format_table(rows))
    return "\n\n".join(tables)


def format_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
                     for row in rows)


class Pinger:
    """Pings in the background and says how many were lost.

    with Pinger(netns, "10.244.2.2") as pinger: ...disturb...
    assert pinger.lost == 0

    It starts counting when the first answer is in, so that a test measures the
    disturbance and not the start.
    """

    def __init__(self, source_netns, address, per_second=20):
        self.source_netns = source_netns
        self.address = address
        self.per_second = per_second
        self.sent = 0               # highest sequence number ping spoke of
        self.answered = set()       # sequence numbers
        self._process = None
        self._reader = None
        self._lines = []

    def start(self):
        # -O says at once when an answer is missing; -D stamps each line, so that a
        # failing test can be laid beside the daemons' logs.
        self._process = subprocess.Popen(
            netns.inside(self.source_netns, ["ping", "-n", "-D", "-O", "-i",
                                             f"{1 / self.per_second:.3f}", self.address]),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, pass_fds=tuple(inherited_fds))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            wait_until(lambda: self.answered, 10, f"{self.address} answers")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """Ends it and returns how many pings were lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(10)
            self._reader.join(10)
            self._process = None
        return self.lost

    def _read(self):
        for line in self._process.stdout:
            self._lines.append(line)
            match = re.search(r"(bytes from|no answer yet).*icmp_seq=(\d+)", line)
            if match:
                self.sent = max(self.sent, int(match.group(2)))
                if match.group(1) == "bytes from":
                    self.answered.add(int(match.group(2)))
            summary = re.search(r"(\d+) packets transmitted", line)
            if summary:
                self.sent = int(summary.group(1))

    @property
    def lost(self):
        # The last one may have been on its way when ping was stopped.
        return len(set(range(min(self.answered, default=1), self.sent)) - self.answered)

    @property
    def output(self):
        return "".join(self._lines)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def wait_reachable(source_netns, address, timeout=10):
    """Waits until an address answers."""
    family = 6 if ":" in address else 4
    wait_until(lambda: ping_once("", source_netns, "", family, address).ok, timeout,
               f"{address} answers a ping from {source_netns}")
