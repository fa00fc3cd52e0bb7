"""Collects every sentence that is shown, so that none stays untranslated; run as a module, updates the .po file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from annotation.store.engine_runs import ENGINE_LOST
from annotation.store.runs import WORKER_DIED
from app.i18n import FOLDER
from app.render import templates_folder
from rlhf.config import CONFIGS

Functions = dict[str, tuple[int, ...] | None]

ROOT = Path(__file__).parent.parent
FUNCTIONS: Functions = {
    "_": None,
    "N_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "Conflict": None,
    "Missing": None,
    "Invalid": None,
    "RowError": (2,),
    "UnreadableError": (3,),
    "CannotFollowError": None,
}
PYTHON = [("**.py", "python")]
TEMPLATES = [("**.html", "jinja2.ext:babel_extract")]
OBJECTIONS: Functions = {"ValueError": None}  # of settings to each other, which pydantic hands on
OF_TRAINING = (ROOT / "rlhf", PYTHON, FUNCTIONS | {"refuse": None})
OF_SETTINGS = (ROOT / "rlhf", [("config.py", "python")], OBJECTIONS)


def sentences() -> Catalog:
    """Every sentence of the templates, of the refusals and of the settings' descriptions."""
    catalog = Catalog(project="zhongjing", charset="utf-8", fuzzy=False)
    for message in _extracted():
        catalog.add(message)
    catalog.add(WORKER_DIED)
    catalog.add(ENGINE_LOST)
    for config in CONFIGS.values():
        for field in config.model_fields.values():
            catalog.add(field.description or "")
    return catalog


def _extracted() -> Iterator[str | tuple[str, ...]]:
    options = {"**.html": {"extensions": "jinja2.ext.do", "newstyle_gettext": "true", "trim_blocks": "true"}}
    python = [(ROOT / name, PYTHON, FUNCTIONS) for name in ("app", "annotation", "workers")]
    for folder, methods, functions in [(templates_folder(), TEMPLATES, FUNCTIONS), *python, OF_TRAINING, OF_SETTINGS]:
        for _file, _line, message, _comments, _context in extract_from_dir(
            folder, method_map=methods, options_map=options, keywords=functions
        ):
            if message:
                yield message


def update(locale: str) -> Catalog:
    """Brings a language's catalogue up to date, keeping what is translated, and writes it."""
    file = FOLDER / f"{locale}.po"
    known = Catalog(locale=locale, charset="utf-8")
    if file.exists():
        with file.open("rb") as source:
            known = read_po(source, locale=locale)
    known.update(sentences(), no_fuzzy_matching=True)
    known.obsolete.clear()
    with file.open("wb") as target:
        write_po(target, known, width=120, no_location=True, sort_output=True, omit_header=False)
    return known


if __name__ == "__main__":
    update("zh")
