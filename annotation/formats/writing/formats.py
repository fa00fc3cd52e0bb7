"""The formats in which a snapshot can be had, by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from annotation.formats.writing.archive import pack
from annotation.formats.writing.source import Source
from annotation.refusals import Conflict, Missing

OWN = "zhongjing"
FORMATS = {
    OWN: ("archive", "write"),
    "trl": ("trl", "write_pairs"),
    "trl-margin": ("trl", "write_pairs_with_margin"),
    "trl-kwise": ("trl", "write_turns"),
    "sft": ("sft", "write_rewrites"),
    "sft-best": ("sft", "write_best"),
    "datasets": ("datasets_folder", "write"),
    "parquet": ("parquet", "write"),
    "llama-factory": ("llama_factory", "write"),
    "openrlhf": ("openrlhf", "write"),
    "rlhf-label-tool": ("label_tool", "write"),
    "csv": ("spreadsheet", "write"),
}
"""The module and the function of each; a module is loaded when it is wanted, for some bring much with them."""


def write_to(folder: Path, name: str, out: Path) -> None:
    """Writes a snapshot in a format into a new folder, or into one zip where ``out`` is named so.

    It appears only when it is complete. Raises Missing for an unknown format, Conflict where ``out`` exists, Invalid
    where the snapshot is not whole.
    """
    writer = _writer(name)
    if out.exists():
        raise Conflict("{folder} exists already: choose another name.", folder=out)
    source = Source.open(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as aside:
        made = Path(aside) / "made"
        made.mkdir()
        writer(source, made)
        if out.suffix == ".zip":
            made = pack(made, Path(aside) / out.name)
        made.replace(out)


def packed(folder: Path, name: str, cache: Path) -> Path:
    """The snapshot in a format as one zip: made once and kept in ``cache``. Raises what ``write_to`` raises."""
    file = cache / f"{folder.name}-{name}.zip"
    _writer(name)
    with suppress(Conflict):
        write_to(folder, name, file)
    return file


def _writer(name: str) -> Callable[[Source, Path], None]:
    if name not in FORMATS:
        raise Missing("There is no format named {name}.", name=name)
    module, function = FORMATS[name]
    found: Callable[[Source, Path], None] = getattr(import_module(f"annotation.formats.writing.{module}"), function)
    return found
