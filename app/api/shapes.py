"""What several operations give and take: texts, dialogues, orders in letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from annotation.abilities import Ability
from annotation.ranking import LETTERS, BadRankingError, Boundary, Ranking, Relation, Strength
from annotation.refusals import Invalid
from annotation.tables import Turn
from app.deps import is_text
from app.words import N_


def _text(value: str) -> str:
    if not is_text(value):
        raise ValueError(N_("It holds characters that are no text: remove them."))
    return value


Words = Annotated[str, AfterValidator(_text)]
"""A text that every database can keep."""

Letter = Annotated[str, Field(pattern="^[A-E]$", description="A response as it is shown to you")]
BACD = [["B"], ["A", "C"], ["D"]]
AbilityNumber = Annotated[int, Field(ge=1, le=9, description="An ability by its priority: 1 accuracy … 9 warm tone")]


class Given(BaseModel):
    """What a program sends: whole, and without names that mean nothing here."""

    model_config = ConfigDict(extra="forbid")


class Exchange(BaseModel):
    """What the patient said and what the doctor replied."""

    patient: str
    doctor: str


class ShownResponse(BaseModel):
    """A response under the letter by which you speak of it; which model gave it is not told."""

    letter: Letter
    text: str


class ShownTurn(BaseModel):
    """What is judged."""

    system: str | None = Field(description="A message that stands before the dialogue")
    history: list[Exchange]
    message: str = Field(description="What the patient says, and the responses answer")
    department: str
    responses: list[ShownResponse]


class BoundaryShape(Given):
    """What stands between a group and the next lower one."""

    ability: AbilityNumber | None = Field(None, description="The most important ability in which the upper is better")
    strength: Strength | None = None


class OrderShape(Given):
    """An order of the responses with its reasons."""

    groups: list[list[Letter]] = Field(description="Best first; a group of several is a tie", examples=[BACD])
    boundaries: list[BoundaryShape] = Field(default_factory=list, description="One below each group but the last")
    faults: dict[Letter, list[AbilityNumber]] = Field(default_factory=dict, description="Where each fails")
    none_acceptable: bool = Field(False, description="None of the responses may be given; then the order may be empty")


def shown_turn(turn: Turn, order: Sequence[int]) -> ShownTurn:
    """A turn with its responses as somebody sees them; ``order`` lists the responses by letter."""
    return ShownTurn(
        system=turn.system,
        history=[Exchange(patient=patient, doctor=doctor) for patient, doctor in turn.history],
        message=turn.message,
        department=turn.department,
        responses=[
            ShownResponse(letter=LETTERS[i], text=turn.responses[number].text) for i, number in enumerate(order)
        ],
    )


def letters_of(order: Sequence[int]) -> dict[int, str]:
    """Under which letter each response is shown."""
    return {response: LETTERS[i] for i, response in enumerate(order)}


def response_of(letter: str, order: Sequence[int]) -> int:
    """The response behind a letter; raises Invalid where none is."""
    position = LETTERS.index(letter)
    if position >= len(order):
        known = LETTERS[: len(order)]
        raise Invalid("There is no response {letter}: the letters are {letters}.", letter=letter, letters=known)
    return order[position]


def read_order(shape: OrderShape, order: Sequence[int]) -> Ranking:
    """The ranking that is meant; raises Invalid where it is none of these responses."""
    try:
        ranking = Ranking(
            tuple(tuple(response_of(letter, order) for letter in group) for group in shape.groups),
            tuple(Boundary(Ability(b.ability) if b.ability else None, b.strength) for b in shape.boundaries),
            {response_of(letter, order): frozenset(map(Ability, marks)) for letter, marks in shape.faults.items()},
            shape.none_acceptable,
        )
    except BadRankingError as error:
        raise Invalid("This is no ranking: {reason}", reason=error) from error
    if ranking.has_order and ranking.k != len(order):
        raise Invalid("Every response needs a place: name each of {letters} once.", letters=LETTERS[: len(order)])
    return ranking


def write_order(ranking: Ranking, letters: Mapping[int, str]) -> OrderShape:
    """A ranking in somebody's letters."""
    return OrderShape(
        groups=[sorted(letters[response] for response in group) for group in ranking.groups],
        boundaries=[BoundaryShape(ability=b.ability, strength=b.strength) for b in ranking.boundaries],
        faults={letters[response]: sorted(marks) for response, marks in ranking.marks.items()},
        none_acceptable=ranking.none_acceptable,
    )


class PairShape(BaseModel):
    """How one response stands to another."""

    first: Letter
    second: Letter
    relation: Relation = Field(description="`>`: the first is better; `<`: the second; `=`: they are level")
    ability: AbilityNumber | None = Field(None, description="What decides between them; null in a tie")
