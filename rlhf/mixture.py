"""Several files learnt from together, each with its weight: what they are stands in a TOML file.

    [[part]]
    data = "books.jsonl"      # beside this file, or an absolute path
    weight = 2.0

An epoch has as many items as the files have together, and of each file its weight's share: a file whose share is larger
than it is gone through more than once, of one whose share is smaller a part is drawn.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf.checkpoints import hash_file
from rlhf.data import DataError, digest_of
from rlhf.records import N_

SUFFIX = ".toml"


@dataclass(frozen=True)
class Part:
    """A file and its weight; None where the files are not weighed against each other."""

    path: Path
    weight: float | None = None


def parts_of(file: Path) -> list[Part]:
    """The parts of a mixture, or a data file as its only part; raises DataError where a mixture is not one."""
    if file.suffix != SUFFIX:
        return [Part(file)]
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))["part"]
        parts = [Part(file.parent / each["data"], float(each["weight"])) for each in told]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} is no mixture: give each [[part]] a data file and a weight ({error!r}).") from error
    for part in parts:
        if part.weight is None or part.weight <= 0:
            raise DataError(f"{file}: the weight of {part.path.name} must be above 0.")
        if not part.path.exists():
            raise DataError(f"{file}: {part.path} does not exist.")
    return parts


def hash_data(file: Path) -> str:
    """The sha256 of a data file; of a mixture, one that changes with what stands in its parts."""
    if file.suffix != SUFFIX:
        return hash_file(file)
    return digest_of([hash_file(file), *(hash_file(part.path) for part in parts_of(file))])


def shares(counts: Sequence[int], weights: Sequence[float | None]) -> list[int]:
    """How many items of each part an epoch has; all of them, once, where a part has no weight."""
    known = [weight for weight in weights if weight is not None]
    if len(known) < len(weights):
        return list(counts)
    return [round(sum(counts) * weight / sum(known)) for weight in known]


def drawn(counts: Sequence[int], weights: Sequence[float | None], seed: int) -> Iterator[tuple[int, int]]:
    """The items of an epoch as (part, number): of each part whole passes, and what is left over drawn at random.

    Raises DataError where a part with a share has no item.
    """
    for part, (count, share) in enumerate(zip(counts, shares(counts, weights), strict=True)):
        if share and not count:
            raise DataError(N_("A part of the mixture has nothing to learn from: leave it out."))
        passes, rest = divmod(share, count) if count else (0, 0)
        left_over = sorted(random.Random(f"{seed}:{part}").sample(range(count), rest))
        yield from ((part, number) for _ in range(passes) for number in range(count))
        yield from ((part, number) for number in left_over)
