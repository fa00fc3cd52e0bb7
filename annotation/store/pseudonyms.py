"""How people are named in what leaves a campaign: drawn at random, once for a campaign and a person."""

from __future__ import annotations

import secrets

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from annotation.measure_tables import Pseudonym
from annotation.review_tables import Adjudication
from annotation.tables import Assignment, Campaign, Turn

BYTES = 4


def names(session: Session, campaign_id: int) -> dict[int, str]:
    """The pseudonyms of a campaign, by user."""
    known = select(Pseudonym.user_id, Pseudonym.name).where(Pseudonym.campaign_id == campaign_id)
    return {row.user_id: row.name for row in session.execute(known)}


def unnamed(session: Session, campaign_id: int) -> set[int]:
    """Who was given a turn of the campaign, or decided one, and has no pseudonym yet."""
    ranked = select(Assignment.user_id).join(Turn, Turn.id == Assignment.turn_id)
    decided = select(Adjudication.adjudicator_id).join(Turn, Turn.id == Adjudication.turn_id)
    people = union(*(each.where(Turn.campaign_id == campaign_id) for each in (ranked, decided)))
    return set(session.scalars(people)) - set(names(session, campaign_id))


def draw(session: Session, campaign_id: int) -> None:
    """Gives everybody of the campaign who has none a pseudonym that nothing can be guessed from."""
    session.execute(select(Campaign.id).where(Campaign.id == campaign_id).with_for_update())
    taken = set(names(session, campaign_id).values())
    for user_id in sorted(unnamed(session, campaign_id)):
        name = secrets.token_hex(BYTES)
        while name in taken:
            name = secrets.token_hex(BYTES)
        taken.add(name)
        session.add(Pseudonym(campaign_id=campaign_id, user_id=user_id, name=name))
    session.flush()
