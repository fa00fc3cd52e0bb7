"""The card of a data set: what it holds, where it comes from, how far its experts agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from annotation.formats.writing.source import Row, Source
from annotation.ranking import Ranking

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

CARD = """---
license: other
license_name: to-be-named-by-the-owner
language:
- zh
size_categories:
- {size}
pretty_name: {name}
---

# {name}

Answers of language models to patients, ordered by medical experts. A row is a pair: the chat up to the patient's last
message (`prompt`), the better answer (`chosen`) and the worse one (`rejected`), the number of the ability that decides
(`ability`, 1 the most important of nine, null where none was named), and how the pair was settled (`provenance`).

| | |
| --- | --- |
| settled turns | {turns} |
| responses a turn (K) | {k} |
| pairs | {pairs} |
| pairs of train / validation / report | {splits} |
| rankings that count | {rankings} |
| annotators, under pseudonyms | {annotators} |
| adjudicators, under pseudonyms | {adjudicators} |
| turns rewritten by an expert | {rewritten} |
| version of the guideline | {guideline} |

## How the pairs were settled

Two annotators order the K responses of a turn, each alone. What both agree on stands; of the rest a third expert
decides. Where no response is acceptable an expert writes one, which stands above each of the K.

{provenance}

## Agreement

Of the {double} turns that two annotators put in order, {agreement}

## Use

The parts are drawn by dialogue. Train on `train`, choose by `validation`, and report on `report`, which nothing else
has seen. The files were written from a sealed snapshot; the sha256 of its turns is `{sha256}`.

## Licence

Named by whoever owns the dialogues: put it here and in the header before you pass this on.
"""


def of(source: Source) -> str:
    """The card, in the form that data hubs read: Markdown below a header."""
    pairs, provenance = Counter[str](), Counter[str]()
    turns = rewritten = 0
    for turn in source.turns():
        turns += 1
        rewritten += turn["rewrite"] is not None
        made = [pair for pair in turn["pairs"] if "better" in pair]
        pairs[turn["split"]] += len(made)
        provenance.update(pair["provenance"] for pair in made)
    annotators = {row["annotator"] for row in source.rankings() if row.get("counts", True)}
    total = pairs.total()
    return CARD.format(
        name=source.manifest["campaign"].replace("\n", " "),
        size=next((name for most, name in SIZES if total < most), "n>1M"),
        turns=turns,
        k=source.manifest["k"],
        pairs=total,
        splits=" / ".join(str(pairs[split]) for split in ("train", "validation", "report")),
        rankings=sum(row.get("counts", True) for row in source.rankings()),
        annotators=len(annotators),
        adjudicators=len({row["adjudicator"] for row in source.reviews()}),
        rewritten=rewritten,
        guideline=source.manifest["guideline_version"],
        provenance=_table(provenance, total),
        sha256=source.manifest["files"]["turns.jsonl"]["sha256"],
        **_agreement(source),
    )


def _table(provenance: Counter[str], total: int) -> str:
    rows = [f"| {name} | {number} | {number / total:.1%} |" for name, number in sorted(provenance.items())]
    return "\n".join(["| settled | pairs | share |", "| --- | --- | --- |", *rows])


def _agreement(source: Source) -> dict[str, object]:
    """How many turns two annotators ordered, and on what share of pairs and of whole orders they say the same."""
    turns = same_pairs = all_pairs = same_orders = 0
    for first, second in _both(source):
        theirs = second.relations()
        alike = sum(theirs[pair] is relation for pair, relation in first.relations().items())
        turns, same_pairs, all_pairs = turns + 1, same_pairs + alike, all_pairs + len(theirs)
        same_orders += alike == len(theirs)
    if not turns:
        return {"double": 0, "agreement": "nothing can be said."}
    said = f"they say the same of {same_pairs / all_pairs:.1%} of pairs, and of the whole order in "
    return {"double": turns, "agreement": f"{said}{same_orders / turns:.1%}."}


def _both(source: Source) -> Iterator[tuple[Ranking, Ranking]]:
    """The two rankings of each turn that count and have an order."""

    def named(row: Row) -> tuple[str, int]:
        return row["dialogue"], row["number"]

    for _, rows in groupby(source.rankings(), key=named):
        given = [Ranking.from_json(row) for row in rows if row.get("counts", True) and row["groups"]]
        if len(given) == 2:
            yield given[0], given[1]
