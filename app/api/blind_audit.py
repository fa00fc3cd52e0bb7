"""Blind audits, for a third expert's programs: the own order first, and what it is compared with only afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from annotation import blind_audit as rules
from annotation.abilities import Ability
from annotation.adjudication import Case
from annotation.ranking import Ranking
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.store import audits
from app.api.review_shapes import RewriteAnswer, ToldDoubt, Version, in_letters, pair_shape, told_doubts
from app.api.shapes import (
    BACD,
    AbilityNumber,
    Letter,
    OrderShape,
    PairShape,
    ShownTurn,
    Words,
    letters_of,
    read_order,
    shown_turn,
    write_order,
)
from app.deps import Reading, Writing
from app.routes.blind_audit import OwnAudit

router = APIRouter(tags=["review"])


class AskedBoundary(BaseModel):
    """Two neighbouring groups of your order, for which it is asked what decides between them."""

    upper: list[Letter]
    lower: list[Letter]


class BlindAuditShape(BaseModel):
    """A turn that you order alone; what it is compared with is told once your own order stands."""

    id: int
    kind: Literal[ReviewKind.AUDIT]
    version: int = Field(description="Send it with every answer; it tells one that comes from an older page")
    state: ReviewState
    campaign_id: int
    leased_until: datetime
    turn: ShownTurn
    asks: rules.AuditAsks = Field(
        description="What is open: send `order` for both order and fix; `nothing`: it is done"
    )
    order: OrderShape | None = Field(description="Your own order, with what you named so far; null while there is none")
    fixed: bool = Field(description="Whether your order stands; from then on it is blind no more")
    boundary: AskedBoundary | None = Field(description="Between which groups of yours it is asked what decides")
    agreed: list[PairShape] | None = Field(description="What both annotators say; null until your own order stands")
    differing: list[tuple[Letter, Letter]] | None = Field(
        description="The pairs that you order otherwise; null till then"
    )
    overturns: bool | None = Field(description="Your verdict; null where none was given or asked for")
    reason: str
    rewrite: str | None
    doubts: list[ToldDoubt]


class OwnOrder(Version):
    """Your own order, which stands as soon as it is sent; only then is it compared with anything."""

    kind: Literal["order"]
    groups: list[list[Letter]] = Field([], description="Best first; a group of several is a tie", examples=[BACD])
    none_acceptable: bool = Field(False, description="None may be given; then the order may be empty")


class Verdict(Version):
    """Which order stands where yours is another."""

    kind: Literal["verdict"]
    overturns: bool = Field(description="true: yours; false: that of both annotators")
    reason: Words = Field("", max_length=2000, description="Why, where you overturn")


class NamedAbility(Version):
    """What decides at the `boundary` that is asked about."""

    kind: Literal["ability"]
    ability: AbilityNumber


AuditAnswer = Annotated[OwnOrder | Verdict | NamedAbility | RewriteAnswer, Field(discriminator="kind")]


@router.post("/reviews/{review_id}/audit/answers")
def answer_audit(audit: OwnAudit, session: Writing, given: AuditAnswer) -> BlindAuditShape:
    """Answer a blind audit: your order, the verdict, what decides, the rewrite

    It ends by itself once nothing is asked any more.
    """
    match given:
        case OwnOrder():
            shape = OrderShape(groups=given.groups, none_acceptable=given.none_acceptable)
            audits.order(session, audit, given.version, read_order(shape, audit.response_order))
        case Verdict():
            audits.judge(session, audit, given.version, overturns=given.overturns, reason=given.reason)
        case NamedAbility():
            audits.name_ability(session, audit, given.version, Ability(given.ability))
        case RewriteAnswer():
            audits.rewrite(session, audit, given.version, given.text)
    return shown_audit(session, audit)


@router.post("/reviews/{review_id}/audit/back")
def take_audit_back(audit: OwnAudit, session: Writing, given: Version) -> BlindAuditShape:
    """Take back what you said last in a blind audit; your own order stays once it stands"""
    audits.take_back(session, audit, given.version)
    return shown_audit(session, audit)


def shown_audit(session: Reading, audit: Adjudication) -> BlindAuditShape:
    """A blind audit; nothing of the two rankings is in it before the own order stands."""
    case, opinion = audits.case_of(session, audit), audits.opinion_of(audit)
    own, letters = rules.own_ranking(opinion, case.k), letters_of(audit.response_order)
    asks = rules.next_step(case, opinion)
    revealed = own if opinion.fixed else None
    return BlindAuditShape(
        id=audit.id,
        kind=ReviewKind.AUDIT,
        version=audit.version,
        state=audit.state,
        campaign_id=audit.turn.campaign_id,
        leased_until=audit.leased_until,
        turn=shown_turn(audit.turn, audit.response_order),
        asks=asks,
        order=None if own is None else write_order(own, letters),
        fixed=opinion.fixed,
        boundary=_boundary(own, opinion, letters) if asks is rules.AuditAsks.ABILITY else None,
        agreed=_agreed(case, letters) if revealed else None,
        differing=[in_letters(pair, letters) for pair in rules.differing(case, revealed)] if revealed else None,
        overturns=opinion.overturns,
        reason=opinion.reason,
        rewrite=opinion.rewrite,
        doubts=told_doubts(session, audit),
    )


def _boundary(own: Ranking | None, opinion: rules.Opinion, letters: Mapping[int, str]) -> AskedBoundary | None:
    """The first boundary for which nothing is named yet."""
    between = list(pairwise(own.groups))[len(opinion.abilities) :] if own else []
    told = [[sorted(letters[response] for response in group) for group in pair] for pair in between]
    return AskedBoundary(upper=told[0][0], lower=told[0][1]) if told else None


def _agreed(case: Case, letters: Mapping[int, str]) -> list[PairShape]:
    return [
        pair_shape(pair, relation, case.ability_for(pair, relation), letters) for pair, relation in case.agreed.items()
    ]
