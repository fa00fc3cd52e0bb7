"""Whatever is killed, nothing that the watchdog started is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.conftest import wait_for

TREE = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(child.pid, flush=True)
time.sleep(300)
"""


LEAVES_ONE = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]).pid)
"""
IGNORES = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(300)
"""


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def start(code: str = TREE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "workers.watchdog", "--", sys.executable, "-c", code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.fixture
def tree() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A watchdog over a process that has a child, and the pid of that child."""
    watchdog = start()
    assert watchdog.stdout is not None
    grandchild = int(watchdog.stdout.readline())
    yield watchdog, grandchild
    if watchdog.poll() is None:
        watchdog.kill()
    watchdog.wait()
    watchdog.stdout.close()
    if watchdog.stdin and not watchdog.stdin.closed:
        watchdog.stdin.close()


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def test_a_cut_lifeline_ends_the_whole_tree(tree: tuple[subprocess.Popen[bytes], int]) -> None:
    watchdog, grandchild = tree
    [child] = children_of(watchdog.pid)
    assert watchdog.stdin is not None
    watchdog.stdin.close()
    watchdog.wait(10)
    wait_for(lambda: not alive(child) and not alive(grandchild))


def test_whoever_started_it_being_killed_ends_the_whole_tree() -> None:
    starter = (
        "import subprocess, sys, time\n"
        f"w = subprocess.Popen([sys.executable, '-m', 'workers.watchdog', '--', sys.executable, '-c', {TREE!r}],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "print(w.pid, w.stdout.readline().decode(), flush=True)\ntime.sleep(300)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE)
    assert process.stdout is not None
    watchdog, grandchild = map(int, process.stdout.readline().split())
    [child] = children_of(watchdog)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    wait_for(lambda: not any(map(alive, (watchdog, child, grandchild))))


def test_a_killed_watchdog_takes_its_command_with_it(tree: tuple[subprocess.Popen[bytes], int]) -> None:
    watchdog, grandchild = tree
    [child] = children_of(watchdog.pid)
    watchdog.kill()
    wait_for(lambda: not alive(child))
    os.kill(grandchild, signal.SIGKILL)


def test_what_the_command_leaves_behind_is_ended_with_it() -> None:
    with start(LEAVES_ONE) as watchdog:
        assert watchdog.stdout is not None
        left = int(watchdog.stdout.readline())
        assert watchdog.wait(10) == 0
    wait_for(lambda: not alive(left))


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_the_exit_status_is_passed_on(code: str, status: int) -> None:
    with start(code) as watchdog:
        assert watchdog.wait(10) == status


def test_a_command_that_ignores_the_request_to_end_is_killed() -> None:
    with start(IGNORES) as watchdog:
        assert watchdog.stdout is not None
        assert watchdog.stdin is not None
        watchdog.stdout.readline()
        [child] = children_of(watchdog.pid)
        began = time.monotonic()
        watchdog.stdin.close()
        watchdog.wait(20)
        assert time.monotonic() - began < 15  # the grace is five seconds; without the kill it would be three hundred
    assert not alive(child)
