"""Calibration rounds that are revealed, for the programs of those who ranked them: who said what, by no name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from annotation.abilities import Ability
from annotation.agreement import Statistic
from annotation.bootstrap import Estimate
from annotation.comparison import figures, figures_by_ability
from annotation.measure_tables import CalibrationRound
from annotation.ranking import Ranking
from annotation.store import calibration, campaigns
from annotation.store.calibration import Case
from app.api.shapes import OrderShape, ShownTurn, letters_of, shown_turn, write_order
from app.api.statistics import Figure, figures_of
from app.deps import Annotator, Reading

router = APIRouter(tags=["ranking"])


class RevealedRound(BaseModel):
    """A round that you may look at, and rank again until it is closed."""

    id: int
    campaign_id: int
    name: str
    revealed_at: datetime | None
    closed_at: datetime | None


class Opinions(BaseModel):
    """What one person said of a turn; the number is the same throughout a round, and tells nothing of who it is."""

    person: int
    before: OrderShape | None = Field(description="While the round was blind")
    after: OrderShape = Field(description="Now")


class RevealedTurn(BaseModel):
    """A turn of a round, in letters that are the same for everybody once it is revealed."""

    assignment_id: int | None = Field(description="Yours, by which you rank it again")
    turn: ShownTurn
    opinions: list[Opinions]


class AbilityFigures(BaseModel):
    """Agreement over the pairs that an ability decides for one of two people."""

    ability: int
    before: list[Figure]
    after: list[Figure]


class RevealedResults(RevealedRound):
    """A round with everything that was said, and the agreement of each two people."""

    you: int | None = Field(description="Which person you are")
    before: list[Figure] = Field(description="While it was blind")
    after: list[Figure] = Field(description="With what was ranked again")
    by_ability: list[AbilityFigures]
    turns: list[RevealedTurn]


def seen_round(round_id: int, user: Annotator, session: Reading) -> CalibrationRound:
    """A round that is revealed, if this annotator ranks in its campaign."""
    return calibration.seen_by(session, user, round_id)


@router.get("/calibration")
def list_revealed_rounds(user: Annotator, session: Reading) -> list[RevealedRound]:
    """The calibration rounds that are revealed to you and not yet closed"""
    return [RevealedRound(**_facts(each)) for each in calibration.revealed_to(session, user.id)]


@router.get("/calibration/{round_id}")
def get_revealed_round(
    found: Annotated[CalibrationRound, Depends(seen_round)], user: Annotator, session: Reading
) -> RevealedResults:
    """One revealed round: all rankings side by side, and the agreement before and after"""
    cases = calibration.cases(session, found)
    people = calibration.pseudonyms(found, cases)
    k = campaigns.get(session, found.campaign_id).k
    before, after = calibration.agreement(cases)
    return RevealedResults(
        **_facts(found),
        you=people.get(user.id),
        before=figures_of(figures(before, k).items()),
        after=figures_of(figures(after, k).items()),
        by_ability=_by_ability(figures_by_ability(before, k), figures_by_ability(after, k)),
        turns=[_turn(case, user.id, people) for case in cases],
    )


def _facts(found: CalibrationRound) -> dict[str, object]:
    return {name: getattr(found, name) for name in RevealedRound.model_fields}


Figures = dict[Statistic, Estimate]


def _by_ability(before: dict[Ability, Figures], after: dict[Ability, Figures]) -> list[AbilityFigures]:
    return [
        AbilityFigures(
            ability=ability,
            before=figures_of(before.get(ability, {}).items()),
            after=figures_of(after.get(ability, {}).items()),
        )
        for ability in sorted({*before, *after})
    ]


def _turn(case: Case, viewer_id: int, people: dict[int, int]) -> RevealedTurn:
    own = case.assignments.get(viewer_id)
    letters = letters_of(case.order)

    def told(ranking: Ranking | None) -> OrderShape | None:
        return None if ranking is None else write_order(ranking, letters)

    opinions = [
        Opinions(person=people[user], before=told(case.before.get(user)), after=write_order(ranking, letters))
        for user, ranking in case.after.items()
    ]
    return RevealedTurn(
        assignment_id=own.id if own else None,
        turn=shown_turn(case.turn, case.order),
        opinions=sorted(opinions, key=lambda each: each.person),
    )
