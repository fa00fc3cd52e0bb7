"""How the events of the audit are told: what they were about, where that is, and their details in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babel.numbers import format_decimal, format_percent

from annotation.abilities import Ability
from annotation.store.audit import Known
from annotation.tables import AuditEvent
from app import words
from app.i18n import translate
from app.words import N_

SUBJECT = re.compile(r"(.+) (\d+)")
LABELS = {
    "a_day": N_("in 24 hours"),
    "ability": N_("ability"),
    "address": N_("address"),
    "audits": N_("share audited blind"),
    "before": N_("called before"),
    "by": N_("how"),
    "completed": N_("turns completed"),
    "days": N_("valid for days"),
    "department": N_("department"),
    "dialogues": N_("dialogues"),
    "differing": N_("orders that differ"),
    "distance": N_("pairs that stay unreviewed"),
    "doubt": N_("question"),
    "events": N_("is told when"),
    "gold": N_("gold turns"),
    "in_all": N_("in all"),
    "k": N_("responses a turn"),
    "kind": N_("kind"),
    "login": N_("login"),
    "may_adjudicate": N_("may adjudicate"),
    "may_write": N_("may write"),
    "members": N_("who ranks"),
    "mended": N_("mended"),
    "name": N_("name"),
    "open": N_("open"),
    "order": N_("order of turns"),
    "overturned": N_("overturned"),
    "policy": N_("policy"),
    "priority": N_("priority"),
    "random": N_("drawn at random"),
    "repeat": N_("repeats"),
    "role": N_("role"),
    "rows": N_("rows"),
    "rule": N_("priority rule"),
    "settled": N_("settled by it"),
    "source": N_("file"),
    "state": N_("state"),
    "user": N_("person"),
    "users": N_("people"),
    "version": N_("version"),
}
PEOPLE = ("members", "user", "users")
SHARES = ("audits", "gold", "random", "repeat")
LIMITS = ("a_day", "in_all")
WORDED = ("by", "events", "kind", "order", "policy", "role", "rule", "state")


@dataclass(frozen=True)
class About:
    """What an event was about, as a name and, where there is a page, its address."""

    name: str
    href: str | None = None


@dataclass(frozen=True)
class Told:
    """An event as it is shown."""

    event: AuditEvent
    about: About
    details: Sequence[tuple[str, str]]


def told(event: AuditEvent, known: Known, locale: str) -> Told:
    """An event in a language."""
    details = [(_label(name, locale), _value(name, value, known, locale)) for name, value in event.detail.items()]
    return Told(event, _about(event.subject, known, locale), details)


def _about(subject: str, known: Known, locale: str) -> About:
    """``campaign 3`` as its name with its page; what is of no known kind as it stands."""
    found = SUBJECT.fullmatch(subject)
    number = int(found[2]) if found else 0
    say: Mapping[str, Callable[[], About]] = {
        "campaign": lambda: About(known.campaigns.get(number, subject), f"/admin/campaigns/{number}"),
        "turn": lambda: About(
            translate(locale, N_("turn {number}"), number=number),
            f"/admin/campaigns/{known.turns[number]}/turns/{number}" if number in known.turns else None,
        ),
        "run": lambda: About(translate(locale, N_("run {number}"), number=number), f"/admin/runs/{number}"),
        "snapshot": lambda: About(
            translate(locale, N_("snapshot {number}"), number=number), f"/admin/snapshots/{number}"
        ),
        "checkpoint": lambda: About(translate(locale, N_("model {number}"), number=number), "/admin/models"),
        "data set": lambda: About(translate(locale, N_("data set {number}"), number=number), "/admin/data-sets"),
        "user": lambda: About(known.people.get(number, subject), "/admin/users"),
        "webhook": lambda: About(translate(locale, N_("webhook {number}"), number=number), f"/admin/webhooks/{number}"),
        "token": lambda: About(translate(locale, N_("access token {number}"), number=number)),
    }
    kind = found[1] if found else ""
    return say[kind]() if kind in say else About(subject)


def _label(name: str, locale: str) -> str:
    return translate(locale, LABELS.get(name) or words.WORDS.get(name, name))


def _value(name: str, value: Any, known: Known, locale: str) -> str:
    if isinstance(value, list):
        return translate(locale, N_(", ")).join(_value(name, each, known, locale) for each in value)
    if name in PEOPLE:
        return known.people.get(value, str(value))
    if value is None:
        return translate(locale, N_("no limit")) if name in LIMITS else "–"
    if isinstance(value, bool):
        return translate(locale, N_("yes") if value else N_("no"))
    return _number(name, value, locale) if isinstance(value, int | float) else _text(name, str(value), locale)


def _number(name: str, value: float, locale: str) -> str:
    if name in SHARES:
        return str(format_percent(value, "#,##0.#%", locale=locale))
    return str(format_decimal(value, locale=locale))


def _text(name: str, value: str, locale: str) -> str:
    if name == "ability":
        return translate(locale, next((words.ABILITIES[each][0] for each in Ability if each.key == value), value))
    if name == "sha256":
        return value[:12]
    return translate(locale, words.WORDS.get(value, value)) if name in WORDED else value
