"""Which version of a guideline somebody was shown: a new one is shown once, with what changed, before the next turn."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from annotation.measure_tables import GuidelineReading
from annotation.people_tables import User
from annotation.refusals import Missing
from annotation.tables import Guideline

_READ = select(func.max(Guideline.version)).join(GuidelineReading, GuidelineReading.guideline_id == Guideline.id)
_IN_CAMPAIGN = Guideline.campaign_id == bindparam("campaign_id")
_STANDING = select(
    _READ.where(_IN_CAMPAIGN, GuidelineReading.user_id == bindparam("user_id")).scalar_subquery(),
    select(func.max(Guideline.version)).where(_IN_CAMPAIGN).scalar_subquery(),
)
_THEIRS = (GuidelineReading.guideline_id == Guideline.id) & (GuidelineReading.user_id == bindparam("user_id"))
_MADE_UNDER = (
    select(Guideline.id)
    .outerjoin(GuidelineReading, _THEIRS)
    .where(_IN_CAMPAIGN)
    .order_by(GuidelineReading.user_id.is_(None), Guideline.version.desc())
    .limit(1)
)


@dataclass(frozen=True)
class Revision:
    """A version that somebody has not been shown yet, and the one that they know."""

    known: Guideline
    new: Guideline


def standing(session: Session, user_id: int, campaign_id: int) -> tuple[int | None, int]:
    """The newest version that somebody was shown, None where they have begun nothing, and the version in force."""
    known, current = session.execute(_STANDING, {"user_id": user_id, "campaign_id": campaign_id}).one()
    return known, current


def last_read(session: Session, user_id: int, campaign_id: int) -> Guideline | None:
    """The newest version of a campaign's guideline that somebody was shown; None where they have begun nothing."""
    read = (
        select(Guideline)
        .join(GuidelineReading, GuidelineReading.guideline_id == Guideline.id)
        .where(Guideline.campaign_id == campaign_id, GuidelineReading.user_id == user_id)
    )
    return session.scalars(read.order_by(Guideline.version.desc()).limit(1)).first()


def unread(session: Session, user: User, campaign_id: int) -> Revision | None:
    """What somebody has yet to be shown before they go on. Who begins has the whole guideline before them already."""
    known, current = standing(session, user.id, campaign_id)
    if known is None or known == current:
        return None
    return Revision(version(session, campaign_id, known), version(session, campaign_id, current))


def version(session: Session, campaign_id: int, number: int) -> Guideline:
    """One version of a campaign's guideline; raises Missing."""
    wanted = select(Guideline).where(Guideline.campaign_id == campaign_id, Guideline.version == number)
    found = session.scalars(wanted).first()
    if found is None:
        raise Missing("This version of the guideline does not exist.")
    return found


def note_reading(session: Session, user: User, guideline: Guideline) -> None:
    """That this version was shown to them; the same again is the same."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    reading = insert(GuidelineReading).values(guideline_id=guideline.id, user_id=user.id)
    session.execute(reading.on_conflict_do_nothing())


def made_under(session: Session, user_id: int, campaign_id: int) -> int:
    """The id of the version that a ranking of theirs follows: the one they were shown, else the one in force."""
    found = session.scalar(_MADE_UNDER, {"user_id": user_id, "campaign_id": campaign_id})
    assert found is not None
    return found
