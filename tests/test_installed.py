"""What ``pip install`` brings along: all that the system needs to run, and nothing that only tests need."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
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


def imported(package: str) -> Iterator[str]:
    """The outermost names that a package of ours imports, those inside functions too."""
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (each.name.partition(".")[0] for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def canonical(requirement: str) -> str:
    """The name of a distribution as all of its spellings have it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", requirement)[0]).lower()


def test_whatever_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    always = set(map(canonical, project["dependencies"]))
    to_train = set(map(canonical, project["optional-dependencies"]["train"]))
    ours = {"annotation", "app", "rlhf", "workers"}
    known = packages_distributions()
    for package in sorted(ours):
        for name in set(imported(package)) - ours - sys.stdlib_module_names:
            from_here = set(map(canonical, known.get(name, [name])))
            assert from_here & (always | (to_train if package == "rlhf" else set())), f"{package} imports {name}"


def test_tests_and_measurements_stay_behind(site: Path) -> None:
    assert not {"tests", "bench"} & {each.name for each in site.iterdir()}
