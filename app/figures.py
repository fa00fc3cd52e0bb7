"""How figures look: as numbers on a page or in a file, named in a language, and where their turns are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlencode

from babel import Locale
from babel.numbers import format_decimal, format_percent, parse_pattern

from annotation.abilities import Ability
from annotation.agreement import Grouping
from annotation.bootstrap import Estimate
from annotation.report import By, Table
from app import words
from app.i18n import translate
from app.words import N_

PATTERNS = {
    "tau_b": "0.00",
    "alpha": "0.00",
    "log_length_ratio": "0.000",
    "p_value": "0.000",
    "seconds_median": "#,##0",
    "seconds_lower": "#,##0",
    "seconds_upper": "#,##0",
    "rankings": "#,##0",
    "settled": "#,##0",
    "contested": "#,##0",
    "decided": "#,##0",
    "last_week": "#,##0",
    "days_worked": "#,##0",
    "a_working_day": "#,##0.0",
    "left": "#,##0",
    "a_day": "#,##0.0",
    "days_left": "#,##0",
    "turns": "#,##0",
    "questions": "#,##0",
    "hours": "#,##0.0",
}
"""How the figures that are no shares are written."""

SHARE = "#,##0.0%"
SOURCES = {
    -1: N_("not stated"),
    0: N_("unlike the fine-tuning data"),
    1: N_("like the fine-tuning data"),
}
RUN = N_("run {number}")


@dataclass(frozen=True)
class Cell:
    """A figure as it is shown; ``interval`` is empty where there is none."""

    text: str
    interval: str
    estimate: Estimate


@dataclass(frozen=True)
class Row:
    """A line of a table; ``turns`` is the query that finds the turns behind it, None where there is none."""

    key: Any
    name: str
    turns: str | None
    cells: Sequence[Cell]

    @property
    def n(self) -> int:
        """What the line counts."""
        return max((cell.estimate.n for cell in self.cells), default=0)


@dataclass(frozen=True)
class Shown:
    """A table as it is shown."""

    table: Table
    columns: Sequence[str]
    rows: Sequence[Row]


def shown(table: Table, people: Mapping[int, str], locale: str) -> Shown:
    """A table in a language."""
    columns = table.columns
    rows = [
        Row(
            key,
            row_name(table.by, key, people, locale),
            turns_behind(table.by, key),
            [cell(name, found[name], locale) for name in columns if name in found],
        )
        for key, found in table.rows.items()
    ]
    return Shown(table, columns, rows)


def cell(name: str, estimate: Estimate, locale: str) -> Cell:
    """A figure with its interval."""
    if estimate.low is None and estimate.high is None:
        return Cell(number(name, estimate.value, locale), "", estimate)
    low, high = (number(name, each, locale) for each in (estimate.low, estimate.high))
    return Cell(number(name, estimate.value, locale), f"{low} – {high}", estimate)


@lru_cache(maxsize=16384)
def number(name: str, value: float | None, locale: str) -> str:
    """A figure as text, a dash where it is undefined. A page shows thousands, mostly those of the last time."""
    if value is None:
        return "–"
    if name in PATTERNS:
        return str(format_decimal(value, _pattern(PATTERNS[name]), locale=_locale(locale)))
    return str(format_percent(value, _pattern(SHARE), locale=_locale(locale)))


_pattern, _locale = cache(parse_pattern), cache(Locale.parse)  # else both are read anew for each number


def row_name(by: Grouping | By, key: Any, people: Mapping[int, str], locale: str) -> str:
    """What a line of a table is called."""
    name_of: dict[Grouping | By, Callable[[], str]] = {
        Grouping.ANNOTATORS: lambda: " · ".join(_person(each, people, locale) for each in key),
        Grouping.ABILITY: lambda: ability_name(key, locale),
        Grouping.SOURCE: lambda: translate(locale, SOURCES[key]),
        Grouping.DEPTH: lambda: translate(locale, N_("turn {number} of its dialogue"), number=key),
        Grouping.GUIDELINE: lambda: guideline_name(key, locale),
        By.ALL: lambda: _person(0, people, locale),
        By.PERSON: lambda: _person(key, people, locale),
        By.ADJUDICATOR: lambda: _person(key, people, locale),
        By.POSITION: lambda: translate(locale, N_("shown as number {number}"), number=key),
        By.PERSON_ABILITY: lambda: f"{_person(key[0], people, locale)} · {ability_name(key[1], locale)}",
        By.RUN: lambda: translate(locale, RUN, number=key),
        By.RUN_ABILITY: lambda: f"{translate(locale, RUN, number=key[0])} · {ability_name(key[1], locale)}",
        By.WORK: lambda: translate(locale, words.WORDS[key]),
        By.POLICY: lambda: translate(locale, words.WORDS[key]),
    }
    return name_of[by]() if by in name_of else plain_name(key, locale)


def _person(number: int, people: Mapping[int, str], locale: str) -> str:
    """Somebody's name; 0 is everybody."""
    return people.get(number, str(number)) if number else translate(locale, N_("all"))


def plain_name(key: Any, locale: str) -> str:
    """A department, a day, or everything together."""
    if isinstance(key, date):
        return key.isoformat()
    return str(key) if key else translate(locale, N_("none"))


def ability_name(number: int, locale: str) -> str:
    """An ability with its priority; 0 is all of them."""
    if number == 0:
        return translate(locale, N_("all abilities"))
    return f"{'①②③④⑤⑥⑦⑧⑨'[number - 1]} {translate(locale, words.ABILITIES[Ability(number)][0])}"


def guideline_name(versions: tuple[int, int], locale: str) -> str:
    """The version, or the two versions, that the rankings of a turn were made under."""
    if versions[0] == versions[1]:
        return translate(locale, N_("version {number}"), number=versions[0])
    return translate(locale, N_("versions {one} and {other}"), one=versions[0], other=versions[1])


def turns_behind(by: Grouping | By, key: Any) -> str | None:
    """The query of the list of turns that shows those behind a line."""
    queries: dict[Grouping | By, Callable[[], list[tuple[str, Any]]]] = {
        Grouping.ANNOTATORS: lambda: [("annotator", each) for each in key],
        Grouping.DEPARTMENT: lambda: [("department", key)],
        Grouping.DEPTH: lambda: [("depth", key)],
        Grouping.SOURCE: lambda: [("source", key)],
        Grouping.WEEK: lambda: [("week", key.isoformat())],
        Grouping.GUIDELINE: lambda: [("guideline", key[0])],
        Grouping.ABILITY: lambda: [("ability", int(key))],
        By.PERSON: lambda: [("annotator", key)] if key else [],
    }
    found = queries[by]() if by in queries else []
    return urlencode(found) if found else None


def chosen(query: Sequence[tuple[str, str]], people: Mapping[int, str], locale: str) -> list[str]:
    """What a query of the list of turns asks for, in words."""
    say: dict[str, Callable[[str], str]] = {
        "annotator": lambda value: _person(int(value), people, locale),
        "ability": lambda value: ability_name(int(value), locale),
        "department": lambda value: plain_name(value, locale),
        "depth": lambda value: row_name(Grouping.DEPTH, value, people, locale),
        "source": lambda value: row_name(Grouping.SOURCE, int(value), people, locale),
        "week": lambda value: translate(locale, N_("week from {day}"), day=value),
        "guideline": lambda value: guideline_name((int(value), int(value)), locale),
        "handed_back": lambda value: translate(locale, N_("handed back {count} times or more"), count=value),
    }
    return [say[name](value) for name, value in query if name in say]
