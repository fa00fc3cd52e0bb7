"""What is wrong with a row of a file, in a language: what was expected there, and what stands there instead."""

from __future__ import annotations

import re

from annotation.formats.rows import Problem
from app import i18n
from app.words import N_, WORDS

FOUND = {
    re.compile("missing"): N_("missing"),
    re.compile("empty"): N_("empty"),
    re.compile(r"a text of (?P<n>\d+) characters"): N_("a text of {n} characters"),
    re.compile(r"a list with (?P<n>\d+) entries"): N_("a list with {n} entries"),
    re.compile(r"an object with (?P<n>\d+) entries"): N_("an object with {n} entries"),
}
"""What ``annotation.formats.rows.shown`` says; anything else is quoted as it stands."""


def in_words(locale: str, problem: Problem) -> str:
    """The sentence; what a parser of JSON found is said in words of ours."""
    parts = dict(problem.parts)
    if "why" in parts:
        parts["why"] = i18n.translate(locale, WORDS.get(str(parts["why"]), str(parts["why"])))
    if "found" in parts:
        parts["found"] = _found(locale, str(parts["found"]))
    return i18n.translate(locale, problem.expected, **parts)


def _found(locale: str, said: str) -> str:
    for pattern, words in FOUND.items():
        if (match := pattern.fullmatch(said)) is not None:
            return i18n.translate(locale, words, **match.groupdict())
    return said
