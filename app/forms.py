"""From the ranking form's fields to a ranking, and back.

The fields name the letters as this annotator sees them; ``response_order`` says which response stands behind each.
``place-a`` is a group's number from 1, ``ability-1`` what decides below the first group, ``strength-1`` how clearly,
``fault-a`` the numbers of marked abilities, ``none`` that none is acceptable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.datastructures import FormData

from annotation.abilities import Ability, Contradiction, contradictions
from annotation.ranking import LETTERS, BadRankingError, Boundary, Ranking, Strength, format_order
from annotation.refusals import Conflict, Invalid
from annotation.tables import Campaign, PriorityRule

ABILITY_NUMBERS = {str(ability.value) for ability in Ability}
Fields = Mapping[str, str | list[str]]


@dataclass(frozen=True)
class Objections:
    """What keeps a form from being submitted. ``unplaced`` are shown letters, ``unnamed`` numbers of boundaries from 1.

    ``untouched`` says that the order was placed in fewer acts than a ranking takes, which asks for a confirmation;
    contradictions do so too where the campaign only warns.
    """

    unplaced: tuple[str, ...] = ()
    unnamed: tuple[int, ...] = ()
    ties: bool = False
    contradictions: tuple[Contradiction, ...] = ()
    untouched: bool = False

    def stand(self, campaign: Campaign, *, confirmed: bool) -> bool:
        """Whether the form goes back to its annotator."""
        firm = bool(self.unplaced or self.ties)
        strict = campaign.priority_rule is PriorityRule.ENFORCE
        soft = bool(self.unnamed or self.contradictions)
        return firm or (soft and (strict or not confirmed)) or (self.untouched and not confirmed)


def fields_of(form: FormData) -> dict[str, str | list[str]]:
    """The fields of a submitted form; those that may come several times as lists."""
    fields: dict[str, str | list[str]] = {}
    for name in form:
        values = [value for value in form.getlist(name) if isinstance(value, str)]
        fields[name] = values if name.startswith("fault-") else values[-1] if values else ""
    return fields


NO_ROUND = -1
"""What a form says that names no round at all: not the same as naming none."""


def take_round(fields: dict[str, str | list[str]], revealed: int | None) -> None:
    """Takes the revealed round out of a form, and requires it."""
    said = str(fields.pop("round", ""))
    number = int(said) if said.isdecimal() and len(said) < 10 else NO_ROUND
    require_round(number if said else None, revealed)


def require_round(said: int | None, revealed: int | None) -> None:
    """Raises Conflict for letters from the time when the round was blind: they mean other responses by now."""
    if said != revealed:
        raise Conflict(
            "This round was revealed after you opened this page, and the letters are others now: reload the page."
        )


def read_ranking(fields: Fields, order: Sequence[int]) -> tuple[Ranking | None, tuple[str, ...]]:
    """The ranking that a form says, and the letters that it has not placed; raises Invalid for what no form sends.

    None where something is unplaced. A form that says "none acceptable" may leave all letters unplaced.
    """
    shown = {LETTERS[i].lower(): response for i, response in enumerate(order)}
    places = {letter: _number(fields, f"place-{letter}", len(order)) for letter in shown}
    unplaced = tuple(letter.upper() for letter, place in places.items() if place is None)
    none_acceptable = fields.get("none") == "on"
    if unplaced and not (none_acceptable and len(unplaced) == len(order)):
        return None, unplaced
    groups = _groups({shown[letter]: place for letter, place in places.items() if place is not None})
    marks = {shown[letter]: _marks(fields, letter) for letter in shown}
    boundaries = tuple(_boundary(fields, i) for i in range(1, len(groups)))
    try:
        return Ranking(groups, boundaries, marks, none_acceptable), ()
    except BadRankingError as error:
        raise Invalid("The form does not describe a ranking: reload the page.") from error


def objections(fields: Fields, ranking: Ranking | None, unplaced: tuple[str, ...], campaign: Campaign) -> Objections:
    """Everything that a submission runs into."""
    if ranking is None:
        return Objections(unplaced=unplaced)
    acts = _number(fields, "acts", 10_000)
    return Objections(
        unnamed=tuple(i for i, boundary in enumerate(ranking.boundaries, start=1) if boundary.ability is None),
        ties=ranking.has_ties and not campaign.ties_allowed,
        contradictions=tuple(contradictions(ranking)),
        untouched=acts is not None and ranking.has_order and acts < ranking.k - 1,
    )


def write_fields(ranking: Ranking, order: Sequence[int]) -> dict[str, str | list[str]]:
    """The form that says this ranking."""
    fields: dict[str, str | list[str]] = {"none": "on"} if ranking.none_acceptable else {}
    letter = {response: LETTERS[i].lower() for i, response in enumerate(order)}
    for number, group in enumerate(ranking.groups, start=1):
        for response in group:
            fields[f"place-{letter[response]}"] = str(number)
    for number, boundary in enumerate(ranking.boundaries, start=1):
        fields[f"ability-{number}"] = str(boundary.ability.value) if boundary.ability else ""
        fields[f"strength-{number}"] = boundary.strength or ""
    for response, marks in ranking.marks.items():
        fields[f"fault-{letter[response]}"] = [str(ability.value) for ability in sorted(marks)]
    return fields


def shown_order(ranking: Ranking, order: Sequence[int]) -> str:
    """The order of a ranking in the letters under which an annotator sees the responses; empty without one."""
    places = list(order)
    return format_order(tuple(tuple(sorted(places.index(r) for r in group)) for group in ranking.groups))


def shown_letter(response: int, order: Sequence[int]) -> str:
    """The letter under which an annotator sees a response."""
    return LETTERS[list(order).index(response)]


def _groups(places: Mapping[int, int]) -> tuple[tuple[int, ...], ...]:
    used = sorted(set(places.values()))
    return tuple(tuple(response for response, place in places.items() if place == number) for number in used)


def _boundary(fields: Fields, number: int) -> Boundary:
    ability = _number(fields, f"ability-{number}", len(Ability))
    strength = fields.get(f"strength-{number}", "")
    return Boundary(Ability(ability) if ability else None, Strength(strength) if strength in set(Strength) else None)


def _marks(fields: Fields, letter: str) -> frozenset[Ability]:
    given = fields.get(f"fault-{letter}", [])
    numbers = [given] if isinstance(given, str) else given
    if not all(number in ABILITY_NUMBERS for number in numbers):
        raise Invalid("The form does not describe a ranking: reload the page.")
    return frozenset(Ability(int(number)) for number in numbers)


def _number(fields: Fields, name: str, most: int) -> int | None:
    value = fields.get(name, "")
    if value == "":
        return None
    if not isinstance(value, str) or not value.isdecimal() or len(value) > 9 or not 1 <= int(value) <= most:
        if name == "acts" and value == "0":
            return 0
        raise Invalid("The form does not describe a ranking: reload the page.")
    return int(value)
