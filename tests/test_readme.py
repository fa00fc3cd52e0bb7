"""What the README says is so."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from app.cli import app
from app.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = dict(re.findall(r"^- `([^`]+)`: (.+)$", README, re.MULTILINE))


def tracked() -> set[str]:
    """The files of the project, as version control knows them."""
    asked = ["git", "-c", "core.quotePath=false", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout, so nothing says which files belong to the project")
    return {name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()}


def test_the_map_names_every_file_in_one_line() -> None:
    assert set(MAP) == tracked()


def test_the_map_says_of_each_module_what_the_module_says() -> None:
    for name, said in MAP.items():
        if name.endswith(".py"):
            own = ast.get_docstring(ast.parse((ROOT / name).read_text(encoding="utf-8")))
            assert own is not None, name
            assert own.split("\n")[0] == said, name


def test_the_settings_table_is_the_settings() -> None:
    table = README.split("<!-- settings -->")[1].split("<!-- /settings -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\| (.+) \|$", table, re.MULTILINE)
    fields = Settings.model_fields
    assert rows == [(variable(name, field), str(field.default), field.description) for name, field in fields.items()]


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable of a setting."""
    return str(field.validation_alias or f"ZHONGJING_{name.upper()}")


def test_every_command_is_one_that_exists() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    for command in set(
        re.findall(r"zhongjing ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`|```sh.*?```", README, re.DOTALL)))
    ):
        assert re.search(rf"\b{command}\b", said), command
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make (\w+)", README, re.MULTILINE)):
        assert f"\n{target}:" in targets


def test_every_link_leads_to_a_file() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
