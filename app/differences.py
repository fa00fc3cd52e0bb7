"""Where two responses differ, word by word: Chinese characters one by one, other words and numbers whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import groupby

from markupsafe import Markup, escape

TOKEN = re.compile(
    r"\d+(?:[.,]\d+)*%?|[^\W\d_\u2e80-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff]+|\s+|.", re.S
)
"""A number with its separators, a word of an alphabet, a stretch of spaces, or one character of anything else."""


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

    A single short token that happens to be equal between two differences counts as part of them, for a text marked in
    specks cannot be read.
    """
    ours, theirs = tokens(first), tokens(second)
    steps = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    told = [
        (ours[a:b], theirs[c:d], kind != "equal" or _is_speck(ours[a:b], inside=0 < number < len(steps) - 1))
        for number, (kind, a, b, c, d) in enumerate(steps)
    ]
    return _joined((mine, differs) for mine, _, differs in told), _joined(
        (other, differs) for _, other, differs in told
    )


def marked(segments: Iterable[Segment]) -> Markup:
    """The segments as markup: everything escaped, what differs inside ``<mark>``."""
    return Markup("").join(_markup(segments))


def _is_speck(equal: list[str], *, inside: bool) -> bool:
    return inside and len(equal) == 1 and len(equal[0]) == 1


def _joined(pieces: Iterable[tuple[list[str], bool]]) -> Segments:
    runs = groupby(((piece, differs) for piece, differs in pieces if piece), key=lambda each: each[1])
    return tuple(Segment("".join(token for piece, _ in run for token in piece), differs) for differs, run in runs)


def _markup(segments: Iterable[Segment]) -> Iterator[Markup]:
    for segment in segments:
        yield Markup("<mark>{}</mark>").format(segment.text) if segment.differs else escape(segment.text)
