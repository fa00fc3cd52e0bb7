"""A campaign in which everything has happened that can happen to a turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation import adjudication
from annotation.abilities import Ability
from annotation.adjudication import Answer, Asks
from annotation.db import Database, utcnow
from annotation.people_tables import User
from annotation.ranking import LETTERS, Boundary, Ranking, Relation, Strength
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.store import campaigns, imports, places, rankings, reviews
from annotation.store.rankings import Submission
from annotation.tables import Assignment, AssignmentState, Campaign, Purpose, Turn
from annotation.tables import Ranking as RankingRow
from tests.conftest import Cast
from tests.material import dialogue, ranked

REWRITE = "很抱歉，我不知道。\n=请到医院就诊\u2028再说。"


def strict(k: int, *, upside_down: bool = False) -> Ranking:
    """A > B > …, or the other way round."""
    letters = LETTERS[:k]
    return ranked(" > ".join(reversed(letters) if upside_down else letters), *[2] * (k - 1))


def graded(k: int) -> Ranking:
    """The first clearly above all others, which are level; a fault on each of those."""
    order = ranked(f"A > {' = '.join(LETTERS[1:k])}", 1, **dict.fromkeys(LETTERS[1:k], 1))
    return replace(order, boundaries=(Boundary(order.boundaries[0].ability, Strength.CLEAR),))


def everything(database: Database, cast: Cast, k: int) -> Campaign:
    """Agreed with ties, adjudicated, rewritten, unlocked, corrected, not to be judged, late, repeated, audited."""
    with database.writing() as session:
        campaign = campaigns.create(session, f"试点 {k}", k=k, guideline="先看安全。", rewrite_template="很抱歉。")
    for step in (_agreed, _adjudicated, _rewritten, _unlocked, _corrected, _handed_back, _late, _repeated, _audited):
        with database.writing() as session:
            found = campaigns.get(session, campaign.id)
            name = step.__name__.strip("_")
            imports.add(session, found, [dialogue(name, k=k, in_distribution=True)], source="f.json", actor_id=None)
            step(session, cast, found)
    with database.writing() as session:
        campaigns.revise_guideline(session, campaigns.get(session, campaign.id), "先看安全，再看准确。", actor_id=None)
    return campaign


def give(session: Session, user: User, campaign: Campaign, ranking: Ranking, note: str = "") -> Assignment:
    """Somebody ranks the only turn that is open."""
    held = places.reserve_next(session, user, campaign)
    assert held is not None
    rankings.submit(session, held, Submission(f"{user.id}-{held.id}-1", ranking, note, active_seconds=12.34))
    return held


def answer_all(session: Session, user: User, *, unlocked_because: str = "") -> None:
    """An adjudicator puts A before B before C and so on, and writes an answer where one is wanted."""
    review = reviews.open_next(session, user)
    assert review is not None
    if unlocked_because:
        reviews.unlock(session, review, review.version, unlocked_because)
    while (step := adjudication.next_step(reviews.case_of(session, review), reviews.decisions_of(review))).asks:
        if step.asks is Asks.NOTHING:
            break
        if step.asks is Asks.REWRITE:
            reviews.answer_rewrite(session, review, review.version, REWRITE)
        elif step.asks is Asks.OUTCOME:
            reviews.answer_outcome(session, review, review.version, none_acceptable=False)
        else:
            assert step.pair is not None
            named = Ability.SAFETY if step.asks is Asks.ABILITY else None
            reviews.answer_pair(session, review, review.version, Answer(step.pair, Relation.BETTER, named))
    reviews.decide(session, review, review.version)


def _agreed(session: Session, cast: Cast, campaign: Campaign) -> None:
    for user in (cast.li, cast.wang):
        give(session, user, campaign, graded(campaign.k), "=HYPERLINK(1)")


def _adjudicated(session: Session, cast: Cast, campaign: Campaign) -> None:
    give(session, cast.li, campaign, strict(campaign.k))
    give(session, cast.wang, campaign, strict(campaign.k, upside_down=True))
    answer_all(session, cast.zhao)


def _rewritten(session: Session, cast: Cast, campaign: Campaign) -> None:
    for user in (cast.li, cast.wang):
        give(session, user, campaign, ranked("", none_acceptable=True))
    answer_all(session, cast.zhao)


def _unlocked(session: Session, cast: Cast, campaign: Campaign) -> None:
    give(session, cast.li, campaign, strict(campaign.k))
    give(session, cast.wang, campaign, graded(campaign.k) if campaign.k > 2 else strict(2, upside_down=True))
    answer_all(session, cast.zhao, unlocked_because="两人都看错了剂量。")


def _corrected(session: Session, cast: Cast, campaign: Campaign) -> None:
    held = give(session, cast.li, campaign, strict(campaign.k, upside_down=True))
    rankings.submit(session, held, Submission("corrected", strict(campaign.k), "看反了"))
    give(session, cast.wang, campaign, strict(campaign.k))


def _handed_back(session: Session, cast: Cast, campaign: Campaign) -> None:
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    places.cannot_judge(session, held, "缺上文")
    for user in (cast.wang, cast.chen):
        give(session, user, campaign, strict(campaign.k))


def _late(session: Session, cast: Cast, campaign: Campaign) -> None:
    held = places.reserve_next(session, cast.li, campaign, utcnow() - timedelta(days=1))
    assert held is not None
    places.reclaim_expired(session, campaign.id, utcnow())
    for user in (cast.wang, cast.chen):
        give(session, user, campaign, strict(campaign.k))
    rankings.submit(session, held, Submission("late", strict(campaign.k, upside_down=True)))


def _repeated(session: Session, cast: Cast, campaign: Campaign) -> None:
    held = [give(session, user, campaign, strict(campaign.k)) for user in (cast.li, cast.wang)]
    again = Assignment(
        turn_id=held[0].turn_id,
        user_id=cast.li.id,
        purpose=Purpose.REPEAT,
        state=AssignmentState.SUBMITTED,
        leased_until=utcnow(),
        finished_at=utcnow(),
        response_order=list(range(campaign.k)),
        selection_probability=0.05,
    )
    session.add(again)
    session.flush()
    session.add(_kept(again, strict(campaign.k, upside_down=True), campaigns.guideline(session, campaign.id).id))


def _kept(held: Assignment, ranking: Ranking, guideline: int) -> RankingRow:
    return RankingRow(
        assignment_id=held.id,
        version=1,
        submission_key=f"again-{held.id}",
        content_hash="0" * 64,
        body=ranking.to_json(),
        response_order=held.response_order,
        guideline_id=guideline,
        created_at=held.finished_at,
    )


def _audited(session: Session, cast: Cast, campaign: Campaign) -> None:
    held = [give(session, user, campaign, strict(campaign.k)) for user in (cast.li, cast.wang)]
    both = [strict(campaign.k)] * 2
    settled = [replace(each, provenance=adjudication.Provenance.AUDITED) for each in _settled(both)]
    session.add(
        Adjudication(
            turn=session.scalars(select(Turn).where(Turn.id == held[0].turn_id)).one(),
            adjudicator_id=cast.zhao.id,
            kind=ReviewKind.AUDIT,
            first_assignment_id=held[0].id,
            first_annotator_id=cast.li.id,
            second_assignment_id=held[1].id,
            second_annotator_id=cast.wang.id,
            state=ReviewState.DECIDED,
            leased_until=utcnow(),
            decided_at=utcnow(),
            response_order=list(range(campaign.k)),
            decisions={"steps": [[0, False]], "overturns": False},
            result={"none_acceptable": False, "pairs": [reviews.pair_to_json(each) for each in settled]},
        )
    )


def _settled(both: Sequence[Ranking]) -> list[adjudication.SettledPair]:
    return adjudication.settle_agreed(both[0], both[1])
