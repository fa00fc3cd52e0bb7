"""Where two responses differ, word by word: Chinese characters one by one, other words and numbers whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from markupsafe import Markup, escape
from rapidfuzz.distance import Indel, Opcode

TOKEN = re.compile(
    r"\d+(?:[.,]\d+)*%?|[^\W\d_\u2e80-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff]+|\s+|.", re.S
)
"""A number with its separators, a word of an alphabet, a stretch of spaces, or one character of anything else."""

LITTLE = 0.25
"""Long texts that have less than this share in common are not marked: it would be all of them."""

LONG = 60
"""Characters from which a text is long."""

LONGEST = 20_000
"""So many tokens of each text are compared: that takes 50 MB for a moment, and four times that twice as many."""


@dataclass(frozen=True)
class Segment:
    """A stretch of one of the two texts; ``differs`` where the other has something else there, or nothing."""

    text: str
    differs: bool


Segments = tuple[Segment, ...]


def tokens(text: str) -> list[str]:
    """The text in pieces that are equal or not as a whole; joined they are the text again."""
    return TOKEN.findall(text)


@lru_cache(maxsize=512)
def differences(first: str, second: str) -> tuple[Segments, Segments]:
    """Both texts in segments; joined, the segments of each are that text again.

    What happens to be equal between two differences that are no shorter counts as part of them, for a text marked in
    specks cannot be read. Of texts beyond ``LONGEST`` only what they begin and end with alike is told apart. In texts
    that are long and have little in common nothing is marked.
    """
    steps = _steps(tokens(first), tokens(second))
    alike = sum(len(mine) for mine, _, equal in steps if equal)
    if min(len(first), len(second)) >= LONG and alike < LITTLE * max(len(first), len(second)):
        return (Segment(first, differs=False),), (Segment(second, differs=False),)
    sizes = [max(len(mine), len(other)) for mine, other, _ in steps]
    told = [
        (mine, other, not equal or (0 < i < len(steps) - 1 and sizes[i] <= min(sizes[i - 1], sizes[i + 1])))
        for i, (mine, other, equal) in enumerate(steps)
    ]
    return _joined((mine, differs) for mine, _, differs in told), _joined(
        (other, differs) for _, other, differs in told
    )


def _steps(ours: list[str], theirs: list[str]) -> list[tuple[str, str, bool]]:
    """What is equal and what differs by turns, as it stands in each, by the fewest insertions and deletions."""
    ends = [0, 0]
    found: list[tuple[str, str, bool]] = []
    for equal, steps in groupby(_opcodes(ours, theirs), key=lambda step: step.tag == "equal"):
        a, c = ends
        *_, last = steps
        ends = [last.src_end, last.dest_end]
        found.append(("".join(ours[a : ends[0]]), "".join(theirs[c : ends[1]]), equal))
    return found


def _opcodes(ours: list[str], theirs: list[str]) -> Iterable[Opcode]:
    if max(len(ours), len(theirs)) <= LONGEST:
        return Indel.opcodes(ours, theirs)
    shorter = min(len(ours), len(theirs))
    start = next((i for i in range(shorter) if ours[i] != theirs[i]), shorter)
    end = next((i for i in range(shorter - start) if ours[-1 - i] != theirs[-1 - i]), shorter - start)
    a, b = len(ours) - end, len(theirs) - end
    whole = Opcode("equal", 0, start, 0, start), Opcode("replace", start, a, start, b)
    return *whole, Opcode("equal", a, len(ours), b, len(theirs))


def marked(segments: Iterable[Segment]) -> Markup:
    """The segments as markup: everything escaped, what differs inside ``<mark>``."""
    return Markup("").join(_markup(segments))


def _joined(pieces: Iterable[tuple[str, bool]]) -> Segments:
    runs = groupby(((piece, differs) for piece, differs in pieces if piece), key=lambda each: each[1])
    return tuple(Segment("".join(piece for piece, _ in run), differs) for differs, run in runs)


def _markup(segments: Iterable[Segment]) -> Iterator[Markup]:
    for segment in segments:
        yield Markup("<mark>{}</mark>").format(segment.text) if segment.differs else escape(segment.text)
