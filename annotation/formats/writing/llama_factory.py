"""Preferences and rewrites for LLaMA-Factory, with the entries of ``dataset_info.json`` that make them known.

Source: LLaMA-Factory's page on data preparation (the ``sharegpt`` formatting, with ``ranking`` for preferences).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotation.formats.writing.lines import write_list, write_object
from annotation.formats.writing.sft import rewrites
from annotation.formats.writing.source import Preference, Source, prompt
from annotation.snapshot import SPLITS

SPEAKERS = {"user": "human", "assistant": "gpt"}
COLUMNS = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "system": "system"}
OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}


def write(source: Source, folder: Path) -> None:
    """A list for each part of the data, the rewrites of the training part, and their entries."""
    known: dict[str, Any] = {}
    for split in SPLITS:
        name = f"zhongjing_pairs_{split}"
        write_list(folder / f"{name}.json", map(pair_row, source.preferences(split)))
        entry = {"file_name": f"{name}.json", "formatting": "sharegpt", "ranking": True, "columns": COLUMNS}
        known[name] = entry
    write_list(folder / "zhongjing_rewrites_train.json", rewrites(source, "train"))
    known["zhongjing_rewrites_train"] = {
        "file_name": "zhongjing_rewrites_train.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": OPENAI_TAGS,
    }
    write_object(folder / "dataset_info.json", known)


def pair_row(preference: Preference) -> dict[str, Any]:
    """A row of preferences: the conversation up to the patient's last message, and two ways to go on."""
    said = [message for message in prompt(preference.turn) if message["role"] != "system"]
    return {
        "conversations": [{"from": SPEAKERS[each["role"]], "value": each["content"]} for each in said],
        "chosen": {"from": "gpt", "value": preference.chosen},
        "rejected": {"from": "gpt", "value": preference.rejected},
        "system": preference.turn["system"] or "",
    }
