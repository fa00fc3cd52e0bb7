"""What the statistics of a campaign are computed from, as it comes out of the database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from annotation import report
from annotation.adjudication import Answer
from annotation.agreement import Grouping, Statistic
from annotation.db import utcnow
from annotation.people_tables import User
from annotation.ranking import Relation
from annotation.report import Audited, By
from annotation.run_tables import Run, RunKind, RunState, Snapshot
from annotation.store import campaigns, imports, measured, places, rankings, reviews, statistics, turns
from annotation.store import columns as kept
from annotation.store.columns import columns
from annotation.store.rankings import Submission
from annotation.store.turns import Behind
from annotation.tables import Assignment, Campaign, Purpose, Turn
from tests.annotation.columns import doubles
from tests.conftest import Cast
from tests.material import dialogue, ranked

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def rank(session: Session, campaign: Campaign, user: User, order: str, *abilities: int, at: datetime = MONDAY) -> int:
    """Has somebody rank the turn that is theirs next; returns its id."""
    held = places.reserve_next(session, user, campaign)
    assert held is not None
    key = f"{user.login}-{held.turn_id}-{order}"
    rankings.submit(session, held, Submission(key, ranked(order, *abilities), active_seconds=30.0), at)
    return held.turn_id


@pytest.fixture
def torn(session: Session, cast: Cast, campaign: Campaign) -> Turn:
    """Accuracy speaks for A over B, warm tone against it; Zhao takes A."""
    imports.add(session, campaign, [dialogue("d1", in_distribution=True)], source="t", actor_id=None)
    rank(session, campaign, cast.li, "A > B > C > D", 1, 1, 1)
    turn_id = rank(session, campaign, cast.wang, "B > A > C > D", 9, 1, 1, at=MONDAY + timedelta(days=7))
    review = reviews.open_next(session, cast.zhao)
    assert review is not None
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.BETTER))
    reviews.decide(session, review, review.version, MONDAY + timedelta(days=8))
    return session.get_one(Turn, turn_id)


def test_a_turn_with_two_rankings_is_one_row(session: Session, cast: Cast, campaign: Campaign, torn: Turn) -> None:
    found = columns(session, campaign)
    assert found.doubles.annotators.tolist() == [sorted((cast.li.id, cast.wang.id))]
    assert found.turns.id.tolist() == [torn.id]
    assert (found.turns.department.tolist(), found.turns.source.tolist()) == (["儿科"], [1])
    assert found.judgements.ranks.tolist() == [[0, 1, 2, 3], [1, 0, 2, 3]]
    assert found.judgements.boundaries.tolist() == [[1, 1, 1], [9, 1, 1]]
    assert [sorted(shown) for shown in found.judgements.shown.tolist()] == [[0, 1, 2, 3]] * 2
    assert [str(each) for each in found.doubles.arrived] == ["2026-03-09T12:00:00"]
    assert found.turns.reviewed.tolist() == [True]


def test_only_the_newest_version_counts(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    for order in ("A > B > C > D", "D > C > B > A"):
        rankings.submit(session, held, Submission(order, ranked(order)))
    assert columns(session, campaign).judgements.ranks.tolist() == [[3, 2, 1, 0]]


def test_a_late_ranking_does_not_count(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
    mine = places.reserve_next(session, cast.li, campaign)
    assert mine is not None
    places.reclaim_expired(session, campaign.id, utcnow() + timedelta(days=1))
    for user in (cast.wang, cast.chen):
        rank(session, campaign, user, "A > B > C > D")
    rankings.submit(session, mine, Submission("late", ranked("D > C > B > A")))
    found = columns(session, campaign)
    assert set(found.judgements.annotator.tolist()) == {cast.wang.id, cast.chen.id}


def test_a_new_ranking_shows_at_once(session: Session, cast: Cast, campaign: Campaign, torn: Turn) -> None:
    before = columns(session, campaign)
    assert columns(session, campaign) is before
    imports.add(session, campaign, [dialogue("d2")], source="t", actor_id=None)
    rank(session, campaign, cast.li, "A > B > C > D")
    after = columns(session, campaign)
    assert (len(before.judgements.packed), len(after.judgements.packed)) == (2, 3)


def test_a_process_remembers_few_campaigns(session: Session, cast: Cast, campaign: Campaign) -> None:
    for number in range(kept.KEPT + 2):
        found = columns(session, campaigns.create(session, f"c{number}"))
    assert len(kept._kept) == kept.KEPT
    assert columns(session, campaigns.get(session, campaign.id)) is not None  # one of those that were forgotten
    assert columns(session, campaigns.by_name(session, f"c{number}") or campaign) is found


def test_what_an_adjudicator_answered_is_measured_against_the_suggestion(
    session: Session, cast: Cast, campaign: Campaign, torn: Turn
) -> None:
    found = columns(session, campaign)
    verdicts = statistics.verdicts(session, campaign, found.doubles)
    assert (verdicts.row.tolist(), verdicts.pair.tolist(), verdicts.relation.tolist()) == ([0], [0], [1])
    assert verdicts.asked.tolist() == [True]
    assert verdicts.adjudicator.tolist() == [cast.zhao.id]


def table(session: Session, campaign: Campaign, section: str, name: str, by: Grouping | By) -> dict[object, object]:
    found = statistics.section(session, campaign, section, date(2026, 3, 20))
    [rows] = [each.rows for each in found.tables if (each.name, each.by) == (name, by)]
    return {key: {figure: each.value for figure, each in row.items()} for key, row in rows.items()}


def test_every_part_has_its_tables(session: Session, cast: Cast, campaign: Campaign, torn: Turn) -> None:
    agreement = table(session, campaign, "agreement", "agreement", Grouping.ANNOTATORS)
    [figures] = agreement.values()
    assert isinstance(figures, dict)
    assert figures[Statistic.PAIRS] == pytest.approx(5 / 6)
    lengths = table(session, campaign, "bias", "length bias", By.PERSON)
    assert lengths[cast.li.id] == {"longer_wins": None, "log_length_ratio": None}  # all responses are equally long
    upheld = table(session, campaign, "adjudication", "upheld by adjudication", By.PERSON_ABILITY)
    assert upheld[cast.li.id, 1] == {"upheld": 1.0, "upheld_shrunken": pytest.approx(11 / 21)}
    seconds = table(session, campaign, "pace", "time a ranking", By.PERSON)
    assert seconds[cast.li.id] == {"seconds_median": 30, "seconds_lower": 30, "seconds_upper": 30, "too_fast": 0}


def test_the_days_count_what_happened_on_them(session: Session, cast: Cast, campaign: Campaign, torn: Turn) -> None:
    days = table(session, campaign, "pace", "days", By.DAY)
    assert len(days) == 19  # from 2 to 20 March
    assert days[date(2026, 3, 2)] == {"rankings": 1, "settled": 0, "contested": 0, "decided": 0}
    assert days[date(2026, 3, 9)] == {"rankings": 1, "settled": 0, "contested": 1, "decided": 0}
    assert days[date(2026, 3, 10)] == {"rankings": 0, "settled": 1, "contested": 0, "decided": 1}


def test_what_is_left_are_two_rankings_of_an_open_turn(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue(each) for each in ("d1", "d2", "d3")], source="t", actor_id=None)
    rank(session, campaign, cast.li, "A > B > C > D")
    left = table(session, campaign, "pace", "projection", By.WORK)
    assert isinstance(left["rankings"], dict)
    assert left["rankings"]["left"] == 5


def test_the_ceiling_stands_beside_what_the_reward_model_reached(
    session: Session, cast: Cast, campaign: Campaign, torn: Turn
) -> None:
    snapshot = Snapshot(campaign_id=campaign.id, name="s", folder="/s", sha256="0" * 64, counts={})
    session.add(snapshot)
    session.flush()
    share = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 40}
    result = {"accuracy": share, "experts_agree": share, "longer_wins": share, "by_ability": {"1": share}}
    run = Run(kind=RunKind.REWARD, name="r", config={}, live_key="k", snapshot_id=snapshot.id, result=result)
    run.state, run.finished_at = RunState.SUCCEEDED, utcnow()
    session.add(run)
    session.flush()
    assert table(session, campaign, "ceiling", "reward models", By.RUN_ABILITY) == {(run.id, 1): {"accuracy": 0.7}}
    [reached] = table(session, campaign, "ceiling", "reward models", By.RUN).values()
    assert isinstance(reached, dict)
    assert reached["accuracy"] == reached["longer_wins"] == 0.7
    # One of six strict pairs differs: q = (1 + sqrt(2 * 5/6 - 1)) / 2 = 0.908, settled q^2 (3 - 2q) = 0.977.
    assert reached["true_accuracy"] == pytest.approx((0.7 - 0.023) / 0.954, abs=0.001)


def test_every_number_leads_to_its_turns(session: Session, cast: Cast, campaign: Campaign, torn: Turn) -> None:
    imports.add(session, campaign, [dialogue("d9", department="内科")], source="t", actor_id=None)
    kinds: list[tuple[Behind, bool]] = [
        (Behind(annotators=(cast.li.id, cast.wang.id)), True),
        (Behind(annotators=(cast.li.id, cast.chen.id)), False),
        (Behind(ability=1), True),
        (Behind(ability=2), False),
        (Behind(department="儿科"), True),
        (Behind(department="外科"), False),
        (Behind(depth=2), False),
        (Behind(source=1, depth=1), True),
        (Behind(source=0), False),
        (Behind(source=-1, annotators=(cast.li.id,)), False),
        (Behind(week=date(2026, 3, 9)), True),
        (Behind(week=date(2026, 3, 2)), False),
        (Behind(guideline=1), True),
        (Behind(guideline=2), False),
        (Behind(handed_back=1), False),
    ]
    for behind, there in kinds:
        found = turns.listed(session, campaign.id, None, after=0, limit=9, behind=behind)
        assert [turn.id for turn in found] == ([torn.id] if there else []), behind


def measure(session: Session, turn: Turn, user: User, purpose: Purpose, order: str) -> None:
    """Has somebody rank a turn that measures them."""
    assignment = Assignment(
        turn_id=turn.id, user_id=user.id, purpose=purpose, response_order=[3, 2, 1, 0], leased_until=utcnow()
    )
    session.add(assignment)
    session.flush()
    rankings.submit(session, assignment, Submission(f"{purpose}-{user.id}", ranked(order)))


def test_the_matrix_of_the_overview_shows_what_the_table_of_agreement_says(
    session: Session, cast: Cast, campaign: Campaign, torn: Turn
) -> None:
    imports.add(session, campaign, [dialogue("d2")], source="t", actor_id=None)
    for user in (cast.li, cast.wang):
        rank(session, campaign, user, "A > B > C > D")
    today = MONDAY.date()
    whole, glance = (
        next(each for each in statistics.section(session, campaign, name, today).tables if each.by is by).rows
        for name in ("agreement", statistics.GLANCE)
        for by in [Grouping.ANNOTATORS]
    )
    assert list(glance) == list(whole) == [tuple(sorted((cast.li.id, cast.wang.id)))]
    for both, shown in glance.items():
        assert shown[Statistic.PAIRS] == whole[both][Statistic.PAIRS]
        assert shown[Statistic.PAIRS].low is not None
        exact = whole[both][Statistic.EXACT]
        assert (shown[Statistic.EXACT].value, shown[Statistic.EXACT].n) == (exact.value, exact.n) == (0.5, 2)


def test_a_repeat_is_compared_with_what_the_same_person_said(
    session: Session, cast: Cast, campaign: Campaign, torn: Turn
) -> None:
    measure(session, torn, cast.wang, Purpose.REPEAT, "A > B > C > D")
    found = measured.repeats(session, campaign)
    assert found.judgements.ranks.tolist() == [[1, 0, 2, 3], [0, 1, 2, 3]]
    own = table(session, campaign, "measuring", "agreement with oneself", By.PERSON)
    assert set(own) == {0, cast.wang.id}
    figures = own[cast.wang.id]
    assert isinstance(figures, dict)
    assert (figures[Statistic.PAIRS], figures[Statistic.EXACT]) == (pytest.approx(5 / 6), 0)


def test_a_gold_turn_is_compared_with_its_settled_order(
    session: Session, cast: Cast, campaign: Campaign, torn: Turn
) -> None:
    torn.gold = True
    measure(session, torn, cast.chen, Purpose.GOLD, "A > B > D > C")
    assert measured.gold(session, campaign).judgements.ranks.tolist() == [[0, 1, 2, 3], [0, 1, 3, 2]]
    golden = table(session, campaign, "measuring", "agreement with gold turns", By.PERSON)
    assert isinstance(golden[cast.chen.id], dict)
    assert golden[cast.chen.id][Statistic.BEST] == 1


def test_an_agreed_gold_turn_is_what_both_said(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
    for user in (cast.li, cast.wang):
        turn_id = rank(session, campaign, user, "C > A = B > D")
    [settled] = measured.settled_orders(session, campaign, [turn_id]).values()
    assert [tuple(group) for group in settled["groups"]] == [(2,), (0, 1), (3,)]


def test_measuring_changes_nothing_about_agreement(
    session: Session, cast: Cast, campaign: Campaign, torn: Turn
) -> None:
    before = len(columns(session, campaign).judgements.packed)
    measure(session, torn, cast.wang, Purpose.REPEAT, "A > B > C > D")
    assert len(columns(session, campaign).judgements.packed) == before == 2


def test_audits_say_how_often_two_who_agree_are_wrong() -> None:
    # Two audits of six pairs: one overturned, with three pairs seen otherwise.
    found = report.of_measuring(doubles([]), doubles([]), [Audited(1, True, 3, 6), Audited(2, False, 0, 6)])
    [row] = found[0].rows.values()
    assert {name: (each.value, each.n) for name, each in row.items()} == {
        "overturned": (0.5, 2),
        "seen_otherwise": (0.25, 12),
    }
