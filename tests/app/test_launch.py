"""One command starts everything, and whatever happens to it, nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.launch import CannotServeError, Child, Services, check_port, hold_home
from app.settings import Settings
from tests.conftest import wait_for
from tests.installation import answers, free_port


def serve(home: Path, port: int) -> subprocess.Popen[str]:
    """``zhongjing serve`` in a process group of its own, as from a shell."""
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")},
        "ZHONGJING_HOME": str(home),
        "ZHONGJING_PORT": str(port),
    }
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("zhongjing")), "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """An installation that is up."""
    port = free_port()
    process = serve(tmp_path, port)
    wait_for(lambda: answers(f"http://127.0.0.1:{port}"), 60)
    yield process, port
    if process.poll() is None:
        process.kill()
    process.communicate()


def everything_under(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    names = " ".join(" ".join(each.cmdline()) for each in found)
    for part in ("valkey-server", "uvicorn", "celery -A workers.tasks worker", "celery -A workers.tasks beat"):
        assert part in names
    return found


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind_however_it_ends(
    serving: tuple[subprocess.Popen[str], int], ending: signal.Signals
) -> None:
    process, _ = serving
    started = everything_under(process)
    process.send_signal(ending)
    process.wait(30)
    wait_for(lambda: gone(started), 30)
    assert process.returncode == (-signal.SIGKILL if ending is signal.SIGKILL else 0)


def test_what_ends_by_itself_is_started_again(serving: tuple[subprocess.Popen[str], int]) -> None:
    process, port = serving
    [web] = [each for each in everything_under(process) if "uvicorn" in each.cmdline() and "--" not in each.cmdline()]
    web.kill()
    wait_for(lambda: gone([web]))
    wait_for(lambda: answers(f"http://127.0.0.1:{port}"), 30)


def test_a_second_one_on_the_same_folder_is_refused(serving: tuple[subprocess.Popen[str], int], tmp_path: Path) -> None:
    second = serve(tmp_path, free_port())
    printed, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "ZHONGJING_HOME" in printed
    assert "Traceback" not in printed


def test_the_first_admin_is_invited_at_the_terminal(tmp_path: Path) -> None:
    port = free_port()
    process = serve(tmp_path, port)
    assert process.stdout is not None
    line = process.stdout.readline()
    process.terminate()
    process.communicate()
    assert f"http://127.0.0.1:{port}/invitation/" in line


def test_a_port_in_use_is_said_with_the_mend(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(home=tmp_path, port=taken.getsockname()[1])
        with pytest.raises(CannotServeError, match="ZHONGJING_PORT"):
            check_port(settings)


def test_the_home_is_free_again_once_its_lock_is_closed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    hold_home(settings).close()
    hold_home(settings).close()


def test_what_does_not_stay_up_ends_everything_with_the_place_to_look(tmp_path: Path) -> None:
    services = Services(Settings(home=tmp_path, REDIS_URL="redis://127.0.0.1:1/0"))
    broken = Child("broken", [sys.executable, "-c", "raise SystemExit(1)"], tmp_path / "logs" / "broken.log")
    broken.start(dict(os.environ))
    services.children.append(broken)
    with pytest.raises(CannotServeError, match=r"broken\.log"):
        services.watch()
    services.stop()
