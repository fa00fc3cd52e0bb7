"""The formats in which a snapshot can be had, by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
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


def write(folder: Path, name: str, out: Path) -> None:
    """Writes a snapshot in a format into a new folder, which appears only when it is complete.

    Raises Missing for an unknown format, Conflict where the folder exists, Invalid where the snapshot is not whole.
    """
    writer = _writer(name)
    if out.exists():
        raise Conflict("{folder} exists already: name a new folder.", folder=out)
    source = Source.open(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as aside:
        made = Path(aside) / "made"
        made.mkdir()
        writer(source, made)
        made.rename(out)


def packed(folder: Path, name: str, cache: Path) -> Path:
    """The snapshot in a format as one zip: made once and kept in ``cache``. Raises Missing and Invalid as ``write``."""
    writer = _writer(name)
    file = cache / f"{folder.name}-{name}.zip"
    if file.exists():
        return file
    source = Source.open(folder)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".", ignore_cleanup_errors=True) as aside:
        made = Path(aside) / "made"
        made.mkdir()
        writer(source, made)
        pack(made, Path(aside) / file.name)
        (Path(aside) / file.name).replace(file)
    return file


def _writer(name: str) -> Callable[[Source, Path], None]:
    if name not in FORMATS:
        raise Missing("There is no format named {name}.", name=name)
    module, function = FORMATS[name]
    found: Callable[[Source, Path], None] = getattr(import_module(f"annotation.formats.writing.{module}"), function)
    return found
