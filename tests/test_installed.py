"""What ``pip install`` brings along: all that the system needs to run, and nothing that only tests need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOOK = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from annotation import migrate
from app.demo.campaign import DIALOGUES, prepare
from app.demo.path import CONFIG
from annotation.db import Database
from app.main import create_app
from app.settings import Settings
import annotation, app, rlhf, workers

site, home = map(Path, sys.argv[1:])
for package in (annotation, app, rlhf, workers):
    assert Path(package.__file__).is_relative_to(site), package
home.mkdir()
settings = Settings(home=home)
migrate.upgrade(settings.database_url)
prepare(Database(settings.database_url))
assert DIALOGUES.exists() and CONFIG.exists()
web = TestClient(create_app(settings), follow_redirects=True)
page = web.get("/login", headers={"Accept-Language": "zh"})
assert page.status_code == 200 and "登录" in page.text, page.text
for path in page.text.split('href="')[1:]:
    if path.startswith("/static/"):
        assert web.get(path.split('"')[0]).status_code == 200, path
assert list((Path(rlhf.__file__).parent / "configs").glob("*.toml"))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed, without what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run(wheel, check=True)
    [made] = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(made)], check=True)
    return folder / "site"


def test_templates_migrations_static_files_and_the_demo_travel_along(site: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    subprocess.run(
        [sys.executable, "-c", LOOK, str(site), str(tmp_path / "home")],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(site)},
        check=True,
    )


def test_tests_and_measurements_stay_behind(site: Path) -> None:
    assert not {"tests", "bench"} & {each.name for each in site.iterdir()}
