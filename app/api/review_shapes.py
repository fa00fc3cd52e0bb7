"""What reviews of contested turns and blind audits have in common: versions, rewrites, doubts, pairs in letters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from annotation.abilities import Ability
from annotation.ranking import Pair, Relation
from annotation.review_tables import Adjudication
from annotation.store import doubts
from app.api.shapes import AbilityNumber, Given, PairShape, Words
from app.deps import Reading


class Version(Given):
    """The review as you know it."""

    version: int = Field(ge=0, le=2**31 - 1, description="That of the review as you have read it")


class RewriteAnswer(Version):
    """What the model should have said."""

    kind: Literal["rewrite"]
    text: Words = Field(min_length=1, max_length=100_000)


class ToldDoubt(BaseModel):
    """What you found unclear about an ability at this turn."""

    ability: AbilityNumber
    note: str
    reply: str
    closed_at: datetime | None = Field(description="null while it waits for an answer")


def told_doubts(session: Reading, review: Adjudication) -> list[ToldDoubt]:
    """What this third expert found unclear at the turn."""
    return [
        ToldDoubt(ability=each.ability, note=each.note, reply=each.reply, closed_at=each.closed_at)
        for each in doubts.raised_by(session, review)
    ]


def pair_shape(pair: Pair, relation: Relation, ability: Ability | None, letters: Mapping[int, str]) -> PairShape:
    """A pair in somebody's letters, the earlier one first."""
    first, second = sorted(pair, key=lambda response: letters[response])
    return PairShape(
        first=letters[first], second=letters[second], relation=seen_from(relation, pair, first), ability=ability
    )


def in_letters(pair: Pair, letters: Mapping[int, str]) -> tuple[str, str]:
    """The letters of a pair, the earlier one first."""
    first, second = sorted(letters[response] for response in pair)
    return first, second


def seen_from(relation: Relation, pair: Pair, first: int) -> Relation:
    """The relation read from this one of the two."""
    return relation if pair[0] == first else relation.mirrored
