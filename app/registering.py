"""Making local models and data files known, by their hash."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.refusals import Invalid
from annotation.run_tables import DataSetKind
from rlhf.checkpoints import hash_folder

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
WANTED = {
    DataSetKind.CORPUS: '{"text": "…"} or {"messages": […]}',
    DataSetKind.DIALOGUES: '{"messages": […]}, the assistant last',
    DataSetKind.PROMPTS: '{"messages": […]}, the user last',
}


@dataclass(frozen=True)
class KeptData:
    """A data file under the name of its hash."""

    path: Path
    sha256: str
    rows: int


def check_name(name: str) -> None:
    """Raises Invalid for a name that could be anything but a name."""
    if not NAME.fullmatch(name):
        raise Invalid("A name has letters, digits, dots, dashes and underscores, 64 at most.")


def check_model(folder: Path, name: str) -> tuple[Path, str]:
    """The resolved folder of a base model and its hash; raises Invalid where it is not one that may be loaded."""
    check_name(name)
    config = folder / "config.json"
    if not config.exists() or not any(folder.glob("*.safetensors")):
        raise Invalid("{folder} is no model saved by transformers with safetensors.", folder=folder)
    if "auto_map" in json.loads(config.read_text(encoding="utf-8")):
        raise Invalid("{folder} wants to run code of its own (auto_map): such models are not loaded.", folder=folder)
    return folder.resolve(), hash_folder(folder)


def keep_data(root: Path, name: str, data: bytes, kind: DataSetKind) -> KeptData:
    """Checks every row of a data file and keeps it; raises Invalid naming the first line that is not of its kind."""
    check_name(name)
    rows = _count_rows(data, kind)
    sha256 = hashlib.sha256(data).hexdigest()
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{sha256}.jsonl"
    path.write_bytes(data)
    return KeptData(path, sha256, rows)


def _count_rows(data: bytes, kind: DataSetKind) -> int:
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise Invalid("The file is not in UTF-8: save it so.") from error
    count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not _fits(line, kind):
            raise Invalid("Line {line}: {wanted} was expected.", line=number, wanted=WANTED[kind])
        count += 1
    if not count:
        raise Invalid("The file has no rows.")
    return count


def _fits(line: str, kind: DataSetKind) -> bool:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return False
    if not isinstance(row, dict):
        return False
    if kind is DataSetKind.CORPUS and isinstance(row.get("text"), str):
        return True
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        return False
    return bool(messages[-1]["role"] == ("user" if kind is DataSetKind.PROMPTS else "assistant"))


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))
