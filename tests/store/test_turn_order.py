"""Which turn comes next: by priority, as imported, by dialogue, or by how much a ranking would tell."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.people_tables import User
from annotation.store import campaigns, imports, places, rankings, turn_queue
from annotation.store.rankings import Submission
from annotation.store.turn_queue import Seeker
from annotation.tables import Assignment, Campaign, Turn, TurnOrder
from tests.conftest import Cast
from tests.material import dialogue, ranked

ORDER = ranked("D > B = A > C")


def prepare(session: Session, campaign: Campaign, order: TurnOrder, dialogues: int, turns: int = 1) -> list[Turn]:
    """Turns in a campaign of this order, none of them drawn at random."""
    mine = campaigns.get(session, campaign.id)
    mine.turn_order, mine.random_share = order, 0.0
    rows = [dialogue(f"d{i}", turns) for i in range(dialogues)]
    imports.add(session, mine, rows, source="t", actor_id=None)
    return list(session.scalars(select(Turn).order_by(Turn.id)))


def take(session: Session, user: User, campaign: Campaign) -> Assignment | None:
    """Ranks the next turn."""
    mine = campaigns.get(session, campaign.id)
    held = places.reserve_next(session, user, mine)
    if held is not None:
        rankings.submit(session, held, Submission(f"{user.id}-{held.id}", ORDER))
    return held


def taken(session: Session, user: User, campaign: Campaign, number: int) -> list[int]:
    return [held.turn_id for _ in range(number) if (held := take(session, user, campaign)) is not None]


@pytest.mark.parametrize("order", TurnOrder)
def test_a_higher_priority_comes_first_in_every_order(
    session: Session, cast: Cast, campaign: Campaign, order: TurnOrder
) -> None:
    turns = prepare(session, campaign, order, 4)
    turns[0].score_spread = 9.0
    turns[2].priority, turns[3].priority = 1, 5
    session.flush()
    assert taken(session, cast.li, campaign, 4) == [turns[3].id, turns[2].id, turns[0].id, turns[1].id]


def test_the_most_informative_comes_first_and_what_has_no_score_last(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    turns = prepare(session, campaign, TurnOrder.INFORMATIVE, 4)
    turns[1].score_spread, turns[3].score_spread = 0.5, 2.0
    session.flush()
    assert taken(session, cast.li, campaign, 4) == [turns[i].id for i in (3, 1, 0, 2)]


def test_the_chance_of_each_begun_turn_is_kept_and_none_where_none_was_involved(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    turns = prepare(session, campaign, TurnOrder.INFORMATIVE, 4)
    for number, turn in enumerate(turns):
        turn.score_spread = float(number)
    campaigns.get(session, campaign.id).random_share = 1.0
    session.flush()
    first = take(session, cast.li, campaign)
    assert first is not None
    assert first.selection_probability == pytest.approx(1 / 4)
    campaigns.get(session, campaign.id).random_share = 0.25
    best = max((turn for turn in turns if turn.id != first.turn_id), key=lambda turn: turn.score_spread or 0)
    while (held := take(session, cast.li, campaign)) and held.turn_id != best.id:
        pass
    joined = take(session, cast.wang, campaign)
    assert joined is not None
    assert joined.selection_probability is None


def test_what_somebody_handed_back_has_no_part_in_their_chance(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    prepare(session, campaign, TurnOrder.INFORMATIVE, 4)
    mine = campaigns.get(session, campaign.id)
    mine.random_share = 1.0
    for turn in session.scalars(select(Turn)):
        turn.score_spread = 1.0
    session.flush()
    given = [places.reserve_next(session, user, mine) for user in (cast.li, cast.wang)]
    assert all(given)
    for held in given:
        places.cannot_judge(session, held, "乱码")
    again = places.reserve_next(session, cast.li, mine)
    assert again is not None
    assert again.selection_probability == pytest.approx(1 / 3)  # of four fresh ones, less their own and not Wang's


def test_every_fresh_turn_of_the_highest_priority_is_drawn_as_likely(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    """Of five turns one has a lower priority; 200 draws of the four others: 50 each, three deviations are 18."""
    turns = prepare(session, campaign, TurnOrder.INFORMATIVE, 5)
    mine = campaigns.get(session, campaign.id)
    mine.random_share = 1.0
    turns[4].priority, turns[0].score_spread = -1, 5.0
    session.flush()
    drawn: Counter[int] = Counter()
    for _ in range(200):
        with session.begin_nested() as draw:
            held = places.reserve_next(session, cast.li, mine)
            assert held is not None
            drawn[held.turn_id] += 1
            draw.rollback()
    assert set(drawn) == {turn.id for turn in turns[:4]}
    assert all(25 <= number <= 75 for number in drawn.values())  # four deviations: once in 4,000 runs


def test_a_doctor_goes_on_with_a_dialogue_from_where_a_colleague_is_ahead(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    turns = prepare(session, campaign, TurnOrder.DIALOGUE, 2, 3)
    assert taken(session, cast.li, campaign, 2) == [turns[0].id, turns[1].id]
    assert taken(session, cast.wang, campaign, 3) == [turns[0].id, turns[1].id, turns[2].id]
    assert taken(session, cast.chen, campaign, 3) == [turns[3].id, turns[4].id, turns[5].id]
    assert taken(session, cast.li, campaign, 1) == [turns[2].id]


def test_a_dialogue_that_two_are_in_is_kept_for_them_until_their_leases_have_passed(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    prepare(session, campaign, TurnOrder.DIALOGUE, 1, 3)
    for user in (cast.li, cast.wang):
        take(session, user, campaign)
    assert take(session, cast.chen, campaign) is None
    assert places.why_nothing(session, cast.chen, campaign) is places.Nothing.KEPT
    mine = campaigns.get(session, campaign.id)
    later = utcnow() + 2 * places.Seeker.of(cast.chen.id, mine, utcnow()).lease
    assert places.reserve_next(session, cast.chen, mine, later) is not None


def test_a_turn_of_a_kept_dialogue_that_one_of_the_two_handed_back_goes_to_a_third(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    turns = prepare(session, campaign, TurnOrder.DIALOGUE, 1, 3)
    for user in (cast.li, cast.wang):
        take(session, user, campaign)
    mine = campaigns.get(session, campaign.id)
    held = places.reserve_next(session, cast.li, mine)
    assert held is not None
    places.cannot_judge(session, held, "文字乱码")
    assert taken(session, cast.chen, campaign, 2) == [turns[1].id]


@pytest.mark.parametrize("order", TurnOrder)
def test_who_waits_for_a_turn_puts_none_of_those_that_wait_in_order(
    session: Session, cast: Cast, campaign: Campaign, order: TurnOrder
) -> None:
    prepare(session, campaign, order, 3)
    seeker = Seeker.of(cast.li.id, campaigns.get(session, campaign.id), utcnow())
    turn_queue.mark(session)
    asked: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert turn_queue.wait_for_any(session, seeker)
    assert len(asked) >= 3  # back to where it was looked from, one that might do, and that one locked
    assert not any("ORDER BY" in statement for statement in asked)
