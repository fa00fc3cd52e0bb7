"""Starts a line on each of several hosts by ssh, and ends all of them where one fails.

``python -m workers.launchers.fan_out HOST LINE HOST LINE …``: the exit status is that of the first that failed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from workers.launchers.commands import status_of

SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4")
GRACE_S = 10.0
LOOK_S = 0.2


def run(hosts: Sequence[str], lines: Sequence[str]) -> int:
    """Runs them side by side until all have ended, or one has failed; returns the status."""
    started = [
        subprocess.Popen([*SSH, host, line], stdin=subprocess.PIPE) for host, line in zip(hosts, lines, strict=True)
    ]
    try:
        while True:
            ended = [process.poll() for process in started]
            failed = [status for status in ended if status]
            if failed or None not in ended:
                return status_of(failed[0]) if failed else 0
            time.sleep(LOOK_S)
    finally:
        _end(started)


def _end(started: Sequence[subprocess.Popen[bytes]]) -> None:
    """Closes every connection's input, which is a watchdog's lifeline, and waits for their ends."""
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    deadline = time.monotonic() + GRACE_S
    for process in started:
        try:
            process.wait(timeout=max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1::2], sys.argv[2::2]))
