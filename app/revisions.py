"""What has changed between two versions of a text: line by line, and inside a changed line word by word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from markupsafe import Markup

from app.differences import differences, marked


@dataclass(frozen=True)
class Change:
    """A line as it was and as it is now, None where there was or is none; what differs inside is marked."""

    before: Markup | None
    after: Markup | None

    @property
    def same(self) -> bool:
        """Whether the line stayed as it was."""
        return self.before == self.after


def changes(before: str, after: str) -> list[Change]:
    """Every line of both versions in order; lines that take each other's place stand together."""
    old, new = before.splitlines(), after.splitlines()
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [change for _, a, b, c, d in steps for change in _step(old[a:b], new[c:d])]


def _step(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    for was, now in zip_longest(old, new):
        if was is None or now is None:
            yield Change(_plain(was), _plain(now))
        else:
            ours, theirs = differences(was, now)
            yield Change(marked(ours), marked(theirs))


def _plain(line: str | None) -> Markup | None:
    return None if line is None else Markup.escape(line)
