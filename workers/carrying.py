"""What a training writes into its folder, read as it grows: metrics, events, progress, and what it prints."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORDS, LOG = "records.jsonl", "log.txt"
PIECE = 64 * 1024
LOG_MOST = 2_000_000
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
ROW_BEGINS = '{"at": '


@dataclass
class Tail:
    """Reads what was added to a file since the last look, in whole lines."""

    file: Path
    position: int = 0

    def read(self, most: int) -> str:
        """New whole lines, at most about ``most`` characters."""
        if not self.file.exists():
            return ""
        with self.file.open("rb") as stream:
            stream.seek(self.position)
            data = stream.read(most)
        end = data.rfind(b"\n") + 1 if len(data) < most or b"\n" in data else len(data)
        self.position += end
        return data[:end].decode("utf-8", errors="replace")


@dataclass
class Piece:
    """What was new at a look."""

    records: list[dict[str, Any]] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    printed: str = ""

    def __bool__(self) -> bool:
        """Whether anything was."""
        return bool(self.records or self.progress or self.printed)


class Reader:
    """Reads a run's folder on from where an earlier look stopped."""

    def __init__(self, folder: Path, *, records: int, log: int, kept: int) -> None:
        """From these bytes of both files on; ``kept`` characters of the log are in the database already."""
        self._records, self._log, self._kept = Tail(folder / RECORDS, records), Tail(folder / LOG, log), kept

    @property
    def positions(self) -> tuple[int, int]:
        """How far records and log were read, in bytes."""
        return self._records.position, self._log.position

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it stands, to go back to with ``go_back``."""
        return *self.positions, self._kept

    def go_back(self, place: tuple[int, int, int]) -> None:
        """As if nothing had been read since then."""
        self._records.position, self._log.position, self._kept = place

    def read(self) -> Piece:
        """What is new, at most a piece of each file."""
        piece = Piece(printed=self._printed())
        for line in self._records.read(PIECE).split("\n")[:-1]:
            row = row_of(line)
            if "progress" in row:
                piece.progress = row["progress"]
            elif row:
                piece.records.append(row)
        return piece

    def _printed(self) -> str:
        if self._kept > LOG_MOST:
            return ""
        printed = clean(self._log.read(PIECE))
        self._kept += len(printed)
        if self._kept > LOG_MOST:
            printed += "\n… the rest of the log is in the run's folder: log.txt\n"
        return printed


def row_of(line: str) -> dict[str, Any]:
    """The row of a line; where a kill cut one short, the next that was written behind it; else an empty one."""
    for begin in (0, line.rfind(ROW_BEGINS)):
        try:
            row = json.loads(line[max(begin, 0) :])
        except json.JSONDecodeError:
            continue
        return row if isinstance(row, dict) else {}
    return {}


def clean(printed: str) -> str:
    """Text without terminal colours and control characters; of a line that was overwritten only its last state."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in printed.split("\n"))
    return CONTROL.sub("", "\n".join(lines))


def size(file: Path) -> int:
    """How many bytes a file has; none where there is none."""
    return file.stat().st_size if file.exists() else 0
