"""A campaign at work: everything has happened to its turns, and something of every kind waits for somebody."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.abilities import Ability
from annotation.outside_tables import Delivery, Event
from annotation.people_tables import Role
from annotation.run_tables import Run, RunKind
from annotation.store import (
    calibration,
    campaigns,
    doubts,
    guidelines,
    hooks,
    imports,
    people,
    reviews,
    tokens,
)
from annotation.tables import Campaign, Turn
from app.passwords import hash_password
from tests.browser import trained
from tests.browser.desk import Desk
from tests.conftest import Cast, password_of
from tests.everything import everything, give, strict
from tests.material import dialogue, ranked


def fill(desk: Desk) -> Cast:
    """All of it, in the first campaign."""
    cast = _cast(desk)
    campaign = everything(desk.database, cast, 4)
    trained.train(desk, campaign.id, cast.sun.id)
    for step in (_calibrated, _doubted, _contested, _agreed, _scored, _told):
        with desk.database.writing() as session:
            step(session, cast, campaigns.get(session, campaign.id))
    return cast


def _cast(desk: Desk) -> Cast:
    with desk.database.writing() as session:
        people.add(session, "chen", "陈洁", Role.ANNOTATOR, password_hash=hash_password(password_of("chen")))
        found = {login: people.by_login(session, login) for login in ("li", "wang", "chen", "zhao", "sun")}
        return Cast(**{login: user for login, user in found.items() if user is not None})


def import_turns(session: Session, campaign: Campaign, name: str, count: int = 1) -> list[Turn]:
    new = [dialogue(f"{name}-{number}") for number in range(count)]
    imports.add(session, campaign, new, source=f"{name}.jsonl", actor_id=None)
    return list(session.scalars(select(Turn).order_by(Turn.id.desc()).limit(count)))[::-1]


def _calibrated(session: Session, cast: Cast, campaign: Campaign) -> None:
    """A round that is revealed, one that is ranked blind, and a guideline that Li has read an older version of."""
    for name in ("第一轮", "第二轮"):
        import_turns(session, campaign, name)
        begun = calibration.begin(session, campaign, name, 1, actor_id=cast.sun.id)
        give(session, cast.li, campaign, ranked("A > B > C > D", 1, 5, 1, D=1))
        give(session, cast.wang, campaign, ranked("B > A > C = D", 2, 4))
        if name == "第一轮":
            calibration.reveal(session, begun, actor_id=cast.sun.id)
    guidelines.note_reading(session, cast.li, guidelines.version(session, campaign.id, 1))


def _doubted(session: Session, cast: Cast, campaign: Campaign) -> None:
    """Two doubts about the guideline, one of them answered; the turn goes back to the queue."""
    import_turns(session, campaign, "doubted")
    give(session, cast.li, campaign, strict(4))
    give(session, cast.wang, campaign, strict(4, upside_down=True))
    review = reviews.open_next(session, cast.zhao)
    assert review is not None
    asked = [doubts.raise_doubt(session, review, each, "剂量算不算？") for each in (Ability.ACCURACY, Ability.SAFETY)]
    doubts.close(session, campaign.id, asked[0].id, "算。", actor_id=cast.sun.id)
    reviews.hand_back(session, review, review.version)


def _contested(session: Session, cast: Cast, campaign: Campaign) -> None:
    """None acceptable against an order without abilities, which asks for all that can be asked, twice."""
    for number in range(2):
        import_turns(session, campaign, f"contested-{number}")
        give(session, cast.li, campaign, ranked("A > B > C > D", None, None, None, none_acceptable=True))
        give(session, cast.wang, campaign, ranked("D > C > B > A", None, None, None))


def _agreed(session: Session, cast: Cast, campaign: Campaign) -> None:
    """Two turns for an audit, once somebody draws them."""
    for number in range(2):
        import_turns(session, campaign, f"drawn-{number}")
        for user in (cast.li, cast.wang):
            give(session, user, campaign, strict(4))


def _scored(session: Session, _cast: Cast, campaign: Campaign) -> None:
    """Two turns that nobody has begun, one of them scored below what the run calls low."""
    run = session.scalars(select(Run).where(Run.kind == RunKind.SCORE)).one()
    trained.score(session, run.id, campaign.id, import_turns(session, campaign, "scored", 2))


def _told(session: Session, cast: Cast, _campaign: Campaign) -> None:
    """A webhook whose message was tried in vain, and a token."""
    hook = hooks.create(session, "https://hook.example/x", [Event.TURN_SETTLED], actor_id=cast.sun.id)
    delivery = hooks.ping(session, hook)
    attempt = {"at": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "status": None}
    delivery.tries = [{**attempt, "error": "private address: hook.example"}]
    tokens.create(session, cast.sun, "nightly", may_write=True, days=30)
    assert session.scalars(select(Delivery)).one() is delivery
