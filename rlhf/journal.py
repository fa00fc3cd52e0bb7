"""Work that is done piece by piece: what is finished is kept as it comes, so that a run that was cut short goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Journal:
    """Finished work by its key, in a file that only grows; its first line says what the work was made with."""

    def __init__(self, file: Path, made_with: Mapping[str, Any]) -> None:
        """Takes up what an earlier attempt kept, unless that was made with something else: then it begins anew."""
        self._file = file
        header, *rows = _whole_lines(file) or [{}]
        self.known: dict[str, dict[str, Any]] = {}
        if header == json.loads(json.dumps(made_with)):
            self.known = {row["key"]: row["made"] for row in rows}
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(made_with) + "\n", encoding="utf-8")

    def keep(self, made: Mapping[str, dict[str, Any]]) -> None:
        """Keeps finished work; it is on the disk when this returns."""
        with self._file.open("a", encoding="utf-8") as file:
            file.writelines(
                json.dumps({"key": key, "made": row}, ensure_ascii=False) + "\n" for key, row in made.items()
            )
            file.flush()
            os.fsync(file.fileno())
        self.known |= made


def _whole_lines(file: Path) -> list[dict[str, Any]]:
    """The lines that were written to their end; one that a kill cut short is taken off the file."""
    if not file.exists():
        return []
    written = file.read_bytes()
    whole = written[: written.rfind(b"\n") + 1]
    if len(whole) < len(written):
        os.truncate(file, len(whole))
    return [json.loads(line) for line in whole.split(b"\n") if line]
