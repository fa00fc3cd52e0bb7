"""Preferences for OpenRLHF's reward model training: chats under the keys that its options name.

Source: OpenRLHF's reward dataset, which with ``--apply_chat_template`` joins the messages under ``--prompt_key`` and
``--chosen_key`` or ``--rejected_key``, and reads ``margin`` where there is one.
"""

from __future__ import annotations

from pathlib import Path

from annotation.formats.writing.lines import write_lines
from annotation.formats.writing.source import Source
from annotation.formats.writing.trl import margin, pair_row
from annotation.snapshot import SPLITS

HOW = """OpenRLHF reads these files with

  --dataset PATH/train.jsonl --eval_dataset PATH/validation.jsonl
  --prompt_key prompt --chosen_key chosen --rejected_key rejected --apply_chat_template

report.jsonl is kept for the figures that are reported: train on nothing of it and choose nothing by it.
The margin is 1 where the experts say that the better answer is clearly so; it counts only with --margin_loss.
"""


def write(source: Source, folder: Path) -> None:
    """A file for each part of the data, a row a pair, and how it is named on the command line."""
    for split in SPLITS:
        rows = ({**pair_row(each), "margin": margin(each)} for each in source.preferences(split))
        write_lines(folder / f"{split}.jsonl", rows)
    (folder / "README.txt").write_text(HOW, encoding="utf-8")
