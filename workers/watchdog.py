"""Runs a command in a process group of its own, which is killed whole when whoever started the watchdog dies.

``python -m workers.watchdog -- COMMAND …``: the standard input is the lifeline; when it closes, the group is told to
end and then killed. If the watchdog itself is killed, the kernel ends the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

GRACE_S = 5.0
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent dies; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(command: Sequence[str]) -> int:
    """Runs the command until it ends or the lifeline closes; returns its exit status, 128 and more for a signal."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509
    )
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end_group, args=(child.pid,)).start())
    threading.Thread(target=_watch_lifeline, args=(child.pid,), daemon=True).start()
    status = child.wait()
    end_group(child.pid)
    return status if status >= 0 else 128 - status


def end_group(group: int, grace: float = GRACE_S) -> None:
    """Tells every process of a group to end, waits, and kills what is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            os.killpg(group, 0)  # raises once nobody is left
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)


def _watch_lifeline(group: int) -> None:
    while os.read(0, 4096):
        pass
    end_group(group)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(run(sys.argv[sys.argv.index("--") + 1 :]))
