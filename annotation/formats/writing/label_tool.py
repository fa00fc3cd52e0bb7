"""Orders as the RLHF-Label-Tool keeps them: its table of rankings, and the input file that belongs to it.

Its own program writes the inverse of the order that was chosen. What is written here is the order itself.
Source: the README and the sample files of SupritYoung/RLHF-Label-Tool.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from annotation.formats.writing.lines import write_object
from annotation.formats.writing.source import Row, Source
from annotation.formats.writing.trl import ranks

HOW = """ranking.tsv holds the settled orders, best first: rank1 is the text of the best response.
The RLHF-Label-Tool itself stores the inverse of the order that was chosen, which is another order for 14 of the 24
of four. These files are right: mend nothing when reading them, and do not let the tool write into them.

Turns without a whole order, or with ties, have no place in this format; neither have system messages and rewrites.
Written: {written} turns. Left out: {left_out}.
"""


def write(source: Source, folder: Path) -> None:
    """The table, the input file, and what to know about both."""
    k = source.manifest["k"]
    asked: dict[str, Row] = {}
    left_out = 0
    with (folder / "ranking.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["id", "query", "history", *(f"rank{place + 1}" for place in range(k))])
        for turn in source.turns():
            order = strict_order(turn)
            if order is None:
                left_out += 1
                continue
            given = [response["text"] for response in turn["responses"]]
            table.writerow([len(asked), turn["message"], repr(turn["history"]), *(given[each] for each in order)])
            asked[str(len(asked))] = dict(input_fields(turn, given))
    write_object(folder / "input_file.json", asked)
    (folder / "README.txt").write_text(HOW.format(written=len(asked), left_out=left_out), encoding="utf-8")


def strict_order(turn: Row) -> list[int] | None:
    """The responses, best first; None where some are level or not all are in order."""
    found = ranks(turn["order"])
    if found is None or len(set(found)) < len(found):
        return None
    return sorted(range(len(found)), key=found.__getitem__)


def input_fields(turn: Row, given: list[str]) -> Iterator[tuple[str, object]]:
    """The fields of a row of the tool's input file."""
    yield "query", turn["message"]
    yield "history", turn["history"]
    yield from ((f"response_{number}", text) for number, text in enumerate(given))
