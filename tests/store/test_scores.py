"""Scores of a reward model, kept with the turns that they are of; and what is done about those that are low."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.run_tables import Run, RunKind, RunState
from annotation.store import imports, places, rankings, scores
from annotation.store.rankings import Submission
from annotation.store.runs import NewRun, start
from annotation.store.scores import Scored
from annotation.tables import AuditEvent, Campaign, Response, Turn, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked


def turns_of(session: Session, campaign: Campaign, count: int) -> list[Turn]:
    imports.add(session, campaign, [dialogue(f"d{i}") for i in range(count)], source="t", actor_id=None)
    return list(session.scalars(select(Turn).order_by(Turn.id)))


def said_of(turn: Turn, best: float, spread: float = 0.5) -> Scored:
    texts = tuple(response.text for response in turn.responses)
    return Scored(turn.dialogue.external_id, turn.number, texts, best, spread)


def finished(session: Session, campaign: Campaign, threshold: float, name: str = "s") -> Run:
    run = start(session, NewRun(RunKind.SCORE, name, {"campaign_id": campaign.id, "name": name}), actor_id=None)
    run.state, run.result = RunState.SUCCEEDED, {"threshold": threshold}
    session.flush()
    return run


def score(session: Session, campaign: Campaign, run: Run, turns: Sequence[Turn], *best: float) -> int:
    given = [said_of(turn, each) for turn, each in zip(turns, best, strict=True)]
    taken = scores.take(session, campaign.id, run.id, given)
    for turn in turns:
        session.refresh(turn)
    return taken


def test_scores_are_kept_with_their_turns(session: Session, campaign: Campaign) -> None:
    turns = turns_of(session, campaign, 3)
    assert scores.take(session, campaign.id, 7, [said_of(turns[0], -1.5, 0.25), said_of(turns[2], 2.0, 0.0)]) == 2
    for turn in turns:
        session.refresh(turn)
    assert [(turn.best_score, turn.score_spread, turn.scored_by_run) for turn in turns] == [
        (-1.5, 0.25, 7), (None, None, None), (2.0, 0.0, 7),
    ]  # fmt: skip


def test_a_turn_whose_responses_changed_meanwhile_is_skipped(session: Session, campaign: Campaign) -> None:
    turns = turns_of(session, campaign, 2)
    given = [said_of(turn, 1.0) for turn in turns]
    changed = session.scalars(select(Response).where(Response.turn_id == turns[0].id, Response.number == 3)).one()
    changed.text = "另一个回答"
    session.flush()
    assert scores.take(session, campaign.id, 7, [*given, Scored("gone", 1, ("a",), 0.0, 0.0)]) == 1
    for turn in turns:
        session.refresh(turn)
    assert [turn.best_score for turn in turns] == [None, 1.0]


def test_what_is_scored_is_not_settled_unless_all_is_asked_for(session: Session, campaign: Campaign) -> None:
    turns = turns_of(session, campaign, 5)
    states = (TurnState.SETTLED, TurnState.WITHDRAWN, TurnState.CONTESTED, TurnState.NEEDS_RESPONSES)
    for turn, state in zip(turns[1:], states, strict=True):
        turn.state = state
    session.flush()
    found = {
        too: [turn.id for turn in session.scalars(scores.with_responses(campaign.id, settled_too=too))]
        for too in (False, True)
    }
    assert found == {False: [turns[0].id, turns[3].id], True: [turns[0].id, turns[1].id, turns[3].id]}


def test_low_turns_are_those_of_the_newest_run_the_lowest_first(session: Session, campaign: Campaign) -> None:
    turns = turns_of(session, campaign, 5)
    assert scores.flagging(session, campaign.id) is None
    old = finished(session, campaign, 9.0, "old")
    score(session, campaign, old, turns, 0.0, 0.0, 0.0, 0.0, 0.0)
    new = finished(session, campaign, -1.0, "new")
    score(session, campaign, new, turns[:4], -1.5, -1.0, -3.0, -1.5)
    given = scores.flagging(session, campaign.id)
    assert given is not None
    assert (given.run_id, given.threshold) == (new.id, -1.0)
    low = scores.flagged(session, given, after=None, limit=10)
    assert [turn.id for turn in low] == [turns[2].id, turns[0].id, turns[3].id]
    assert scores.count_flagged(session, given) == 3
    following = scores.flagged(session, given, after=(low[1].best_score or 0, low[1].id), limit=10)
    assert [turn.id for turn in following] == [turns[3].id]
    earlier = scores.flagging(session, campaign.id, old.id)
    assert earlier is not None
    assert [turn.id for turn in scores.flagged(session, earlier, after=None, limit=10)] == [turns[4].id]
    assert scores.flagging(session, campaign.id + 1, old.id) is None


def test_raised_turns_are_given_out_before_all_others(session: Session, campaign: Campaign, cast: Cast) -> None:
    turns = turns_of(session, campaign, 4)
    turns[0].priority, turns[2].state = 5, TurnState.SETTLED
    session.flush()
    ids = [turns[2].id, turns[3].id]
    assert scores.raise_priority(session, campaign.id, ids, actor_id=cast.sun.id) == 1
    for turn in turns:
        session.refresh(turn)
    assert [turn.priority for turn in turns] == [5, 0, 0, 6]
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    assert held.turn_id == turns[3].id
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "priority raised")).one()
    assert event.detail == {"turns": [turns[3].id], "priority": 6}


def test_a_withdrawn_turn_is_given_to_nobody_and_what_comes_for_it_is_kept(
    session: Session, campaign: Campaign, cast: Cast
) -> None:
    turns = turns_of(session, campaign, 2)
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    assert scores.withdraw(session, campaign.id, [turns[0].id], actor_id=cast.sun.id) == 1
    session.refresh(turns[0])
    assert turns[0].state is TurnState.WITHDRAWN
    other = places.reserve_next(session, cast.wang, campaign)
    assert other is not None
    assert other.turn_id == turns[1].id
    assert rankings.submit(session, held, Submission("key", ranked("A > B > C > D"))).late


@pytest.mark.parametrize("state", [TurnState.SETTLED, TurnState.IN_REVIEW, TurnState.WITHDRAWN])
def test_what_is_settled_in_review_or_withdrawn_is_not_withdrawn(
    session: Session, campaign: Campaign, cast: Cast, state: TurnState
) -> None:
    [turn] = turns_of(session, campaign, 1)
    turn.state = state
    session.flush()
    assert scores.withdraw(session, campaign.id, [turn.id], actor_id=cast.sun.id) == 0
    session.refresh(turn)
    assert turn.state is state


def test_turns_are_found_by_dialogue_and_number(session: Session, campaign: Campaign) -> None:
    turns = turns_of(session, campaign, 2)
    named = {("d1", 1), ("d1", 2), ("other", 1)}
    assert scores.turn_ids(session, campaign.id, named) == {("d1", 1): turns[1].id}
