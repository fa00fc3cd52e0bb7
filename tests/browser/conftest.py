"""What the browser tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.desk import Desk, a_desk, two_turns


@pytest.fixture
def desk(tmp_path: Path, sqlite_template: Path) -> Iterator[Desk]:
    """A web with two turns to rank."""
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as opened:
        two_turns(opened)
        yield opened
