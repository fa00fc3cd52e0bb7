"""Lists by the piece: each begins behind the last row of the piece before, so that nothing is shown twice or missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from annotation.measure_tables import GuidelineDoubt
from annotation.outside_tables import Delivery, Webhook
from annotation.people_tables import User
from annotation.review_tables import Adjudication, ReviewState
from annotation.run_tables import Checkpoint, DataSet, Run, RunKind, RunRecord, RunState, Snapshot
from annotation.store.turns import Behind
from annotation.tables import Assignment, AuditEvent, Campaign, Dialogue, Ranking, Turn, TurnState

Row = TypeVar("Row")


def campaigns(session: Session, before: int | None, limit: int) -> Sequence[Campaign]:
    """Campaigns, newest first."""
    return _newest(session, select(Campaign), Campaign.id, before, limit)


def people(session: Session, before: int | None, limit: int) -> Sequence[User]:
    """Everybody, those who came last first."""
    return _newest(session, select(User), User.id, before, limit)


def events(session: Session, before: int | None, limit: int) -> Sequence[AuditEvent]:
    """What was done, newest first."""
    return _newest(session, select(AuditEvent), AuditEvent.id, before, limit)


def snapshots(session: Session, campaign_id: int | None, before: int | None, limit: int) -> Sequence[Snapshot]:
    """Snapshots, of one campaign or all, newest first."""
    wanted = select(Snapshot)
    if campaign_id is not None:
        wanted = wanted.where(Snapshot.campaign_id == campaign_id)
    return _newest(session, wanted, Snapshot.id, before, limit)


def runs(
    session: Session, kind: RunKind | None, state: RunState | None, before: int | None, limit: int
) -> Sequence[Run]:
    """Runs, newest first."""
    wanted = select(Run)
    if kind is not None:
        wanted = wanted.where(Run.kind == kind)
    if state is not None:
        wanted = wanted.where(Run.state == state)
    return _newest(session, wanted, Run.id, before, limit)


def models(session: Session, run_id: int | None, before: int | None, limit: int) -> Sequence[Checkpoint]:
    """Registered models, or those that one run left behind, newest first."""
    wanted = select(Checkpoint)
    if run_id is not None:
        wanted = wanted.where(Checkpoint.run_id == run_id)
    return _newest(session, wanted, Checkpoint.id, before, limit)


def data_sets(session: Session, before: int | None, limit: int) -> Sequence[DataSet]:
    """Registered data sets, newest first."""
    return _newest(session, select(DataSet), DataSet.id, before, limit)


def webhooks(session: Session, before: int | None, limit: int) -> Sequence[Webhook]:
    """Hooks, newest first."""
    return _newest(session, select(Webhook), Webhook.id, before, limit)


def deliveries(session: Session, webhook_id: int, before: int | None, limit: int) -> Sequence[Delivery]:
    """The messages of a hook, newest first."""
    wanted = select(Delivery).where(Delivery.webhook_id == webhook_id)
    return _newest(session, wanted, Delivery.id, before, limit)


def late_rankings(session: Session, campaign_id: int, before: int | None, limit: int) -> Sequence[Ranking]:
    """Rankings that came after their place was gone, newest first."""
    late = select(Ranking).join(Assignment).join(Turn).where(Turn.campaign_id == campaign_id, Ranking.late.is_(True))
    return _newest(session, late, Ranking.id, before, limit)


def decided(session: Session, user_id: int, before: int | None, limit: int) -> Sequence[Adjudication]:
    """The reviews that somebody has decided, those opened last first."""
    mine = select(Adjudication).where(Adjudication.adjudicator_id == user_id, Adjudication.state == ReviewState.DECIDED)
    return _newest(session, mine, Adjudication.id, before, limit)


def doubts(
    session: Session, campaign_id: int, closed: bool | None, before: int | None, limit: int
) -> Sequence[GuidelineDoubt]:
    """What adjudicators found unclear in a campaign's guideline, newest first."""
    wanted = select(GuidelineDoubt).where(GuidelineDoubt.campaign_id == campaign_id)
    if closed is not None:
        wanted = wanted.where(GuidelineDoubt.closed_at.is_not(None) == closed)
    return _newest(session, wanted, GuidelineDoubt.id, before, limit)


def records(session: Session, run_id: int, after: int | None, limit: int) -> Sequence[RunRecord]:
    """What a run has measured, in order."""
    wanted = select(RunRecord).where(RunRecord.run_id == run_id, RunRecord.number > (after or 0))
    return session.scalars(wanted.order_by(RunRecord.number).limit(limit)).all()


def turns(
    session: Session,
    campaign_id: int,
    after: int | None,
    limit: int,
    *,
    state: TurnState | None = None,
    dialogue: str | None = None,
    behind: Behind = Behind(),
) -> Sequence[Turn]:
    """Turns of a campaign in the order of their import."""
    wanted = select(Turn).where(Turn.campaign_id == campaign_id, Turn.id > (after or 0), *behind.conditions())
    if state is not None:
        wanted = wanted.where(Turn.state == state)
    if dialogue is not None:
        wanted = wanted.join(Dialogue).where(Dialogue.external_id == dialogue)
    return session.scalars(
        wanted.order_by(Turn.id).limit(limit).options(joinedload(Turn.dialogue, innerjoin=True))
    ).all()


def _newest(session: Session, wanted: Select[Row], number: Any, before: int | None, limit: int) -> Sequence[Row]:
    if before is not None:
        wanted = wanted.where(number < before)
    return session.scalars(wanted.order_by(number.desc()).limit(limit)).all()
