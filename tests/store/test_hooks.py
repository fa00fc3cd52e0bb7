"""Hooks: what is written with what it tells of, who sends it, when it is tried again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from annotation.abilities import Ability
from annotation.adjudication import Answer
from annotation.db import Database, utcnow
from annotation.outside_tables import Delivery, DeliveryState, Event, Webhook
from annotation.people_tables import User
from annotation.ranking import Relation
from annotation.refusals import Conflict, Invalid, Missing
from annotation.review_tables import Adjudication
from annotation.run_tables import Run, RunKind, RunState
from annotation.store import audits, campaigns, hooks, imports, places, rankings, reviews, runs, scores, snapshots
from annotation.store.hooks import Attempt
from annotation.store.rankings import Submission
from annotation.tables import Campaign, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked

URL = "https://hook.example/x"
ARRIVED, REFUSED, AWAY = Attempt(204, "", 0.1), Attempt(500, "", 0.1), Attempt(None, "ConnectError: away", 0.1)


@pytest.fixture
def hook(database: Database, cast: Cast) -> Webhook:
    """A hook that wants to know everything."""
    with database.writing() as session:
        return hooks.create(session, URL, list(Event), actor_id=cast.sun.id)


@pytest.fixture
def two_turns(database: Database, cast: Cast, campaign: Campaign) -> Campaign:
    """A campaign of two turns, ranked by Li and Wang."""
    with database.writing() as session:
        mine = session.merge(campaign)
        campaigns.set_members(session, mine, {cast.li.id, cast.wang.id}, actor_id=None)
        imports.add(session, mine, [dialogue("d1"), dialogue("d2")], source="t", actor_id=None)
    return campaign


def rank(database: Database, user: User, campaign: Campaign, order: str) -> None:
    """Ranks the next turn."""
    with database.writing() as session:
        held = places.reserve_next(session, session.merge(user), session.merge(campaign))
        assert held is not None
        session.flush()
        rankings.submit(session, held, Submission(f"{user.id}-{held.id}-{order}", ranked(order)))


def told(database: Database) -> list[tuple[str, dict[str, object]]]:
    """Every message that was written, in order."""
    with database.reading() as session:
        return [(each.event, each.payload) for each in session.scalars(select(Delivery).order_by(Delivery.id))]


def statements(database: Database, work: object) -> Iterator[str]:
    """Every statement that goes to the database."""
    seen: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    assert callable(work)
    work()
    yield from seen


def test_a_turn_that_is_settled_or_contested_is_told_in_the_same_transaction(
    database: Database, cast: Cast, two_turns: Campaign, hook: Webhook
) -> None:
    rank(database, cast.li, two_turns, "A > B > C > D")
    assert told(database) == []
    rank(database, cast.wang, two_turns, "A > B > C > D")
    where = {"campaign_id": two_turns.id}
    first = ("turn.settled", {**where, "turn_id": 1, "settled_by": "agreed"})
    assert told(database) == [first]
    rank(database, cast.li, two_turns, "A > B > C > D")
    rank(database, cast.wang, two_turns, "B > A > C > D")
    second = ("turn.contested", {**where, "turn_id": 2})
    assert told(database) == [first, second]
    with pytest.raises(RuntimeError), database.writing() as session:
        turn = places.lock_turn(session, 2)
        turn.state = TurnState.SETTLED
        hooks.settled(session, turn)
        session.flush()
        raise RuntimeError
    assert told(database) == [first, second]


def test_a_campaign_is_told_to_be_finished_when_its_last_turn_is_settled(
    database: Database, cast: Cast, two_turns: Campaign, hook: Webhook
) -> None:
    for first, second in (("A > B > C > D", "A > B > C > D"), ("A > B > C > D", "B > A > C > D")):
        rank(database, cast.li, two_turns, first)
        rank(database, cast.wang, two_turns, second)
    assert "campaign.finished" not in dict(told(database))
    with database.writing() as session:
        review = reviews.open_next(session, session.merge(cast.zhao))
        assert review is not None
        question = reviews.case_of(session, review).contested[0]
        reviews.answer_pair(session, review, review.version, Answer(question, Relation.TIE))
        reviews.decide(session, review, review.version)
    assert [name for name, _ in told(database)][-2:] == ["turn.settled", "campaign.finished"]
    assert dict(told(database))["campaign.finished"] == {"campaign_id": two_turns.id}


def test_a_decision_that_is_taken_back_is_told_and_so_is_the_next_end(
    database: Database, cast: Cast, two_turns: Campaign, hook: Webhook
) -> None:
    for order in ("A > B > C > D", "B > A > C > D"):
        rank(database, cast.li, two_turns, "A > B > C > D")
        rank(database, cast.wang, two_turns, order)
    with database.writing() as session:
        review = reviews.open_next(session, session.merge(cast.zhao))
        assert review is not None
        reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.TIE))
        reviews.decide(session, review, review.version)
        reviews.reopen(session, review, review.version)
        reviews.decide(session, review, review.version)
    where = {"campaign_id": two_turns.id}
    settled = ("turn.settled", {**where, "turn_id": 2, "settled_by": "adjudicated"})
    reopened, finished = ("turn.reopened", {**where, "turn_id": 2}), ("campaign.finished", where)
    assert told(database)[2:] == [settled, finished, reopened, settled, finished]


def test_an_audit_that_overturns_is_told_and_so_is_that_it_was_taken_back(
    database: Database, cast: Cast, two_turns: Campaign, hook: Webhook
) -> None:
    two_turns.audit_share = 1.0
    for user in (cast.li, cast.wang):
        rank(database, user, two_turns, "A > B > C > D")
    settled = told(database)
    with database.writing() as session:
        review = reviews.open_next(session, session.merge(cast.zhao))
        assert review is not None
        audits.order(session, review, review.version, ranked("B > A > C = D"))
        audits.judge(session, review, review.version, overturns=False, reason="")
        audits.take_back(session, review, review.version)
    assert told(database) == settled  # what is settled is the same as before
    with database.writing() as session:
        mine = session.get_one(Adjudication, review.id)
        audits.judge(session, mine, mine.version, overturns=True, reason="A 的剂量错")
        for ability in (Ability.ACCURACY, Ability.CLARITY):
            audits.name_ability(session, mine, mine.version, ability)
        audits.take_back(session, mine, mine.version)
    about = {"campaign_id": two_turns.id, "turn_id": 1, "settled_by": "agreed"}
    now, back = ({**about, "taken_back": taken_back} for taken_back in (False, True))
    assert told(database) == [*settled, ("turn.overturned", now), ("turn.overturned", back)]


def test_a_campaign_whose_last_turn_is_withdrawn_is_told_to_be_finished(
    database: Database, cast: Cast, two_turns: Campaign, hook: Webhook
) -> None:
    for login in (cast.li, cast.wang):
        rank(database, login, two_turns, "A > B > C > D")
    with database.writing() as session:
        assert scores.withdraw(session, two_turns.id, [1, 2], actor_id=cast.sun.id) == 1
    assert told(database)[1:] == [("campaign.finished", {"campaign_id": two_turns.id})]
    with database.writing() as session:
        assert scores.withdraw(session, two_turns.id, [1, 2], actor_id=cast.sun.id) == 0
    assert len(told(database)) == 2


def test_of_two_who_settle_the_last_two_turns_at_once_one_tells_that_nothing_is_left(
    database: Database, cast: Cast, two_turns: Campaign, hook: Webhook
) -> None:
    together = threading.Barrier(2, timeout=20)

    def settle(turn_id: int) -> None:
        with database.writing() as session:
            if not database.is_sqlite:
                together.wait()
            turn = places.lock_turn(session, turn_id)
            turn.state = TurnState.SETTLED
            session.flush()
            hooks.settled(session, turn)

    threads = [threading.Thread(target=settle, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [name for name, _ in told(database)].count("campaign.finished") == 1


def test_snapshots_and_runs_are_told(
    database: Database, cast: Cast, two_turns: Campaign, hook: Webhook, tmp_path: object
) -> None:
    for login in (cast.li, cast.wang):
        rank(database, login, two_turns, "A > B > C > D")
    from pathlib import Path

    snapshot_id = snapshots.freeze(database, two_turns.id, Path(str(tmp_path)) / "s", actor_id=None)
    with database.writing() as session:
        run = Run(kind=RunKind.PRETRAIN, name="r", config={}, live_key="x")
        session.add(run)
        session.flush()
        token = runs.claim(session, run.id, "w")
        assert token is not None
        runs.finish(session, run.id, token, RunState.FAILED, error="patient words")
        waiting = Run(kind=RunKind.PRETRAIN, name="r", config={}, live_key="y")
        session.add(waiting)
        session.flush()
        runs.cancel(session, waiting.id, actor_id=cast.sun.id)
    said = told(database)[1:]
    assert [name for name, _ in said] == ["snapshot.frozen", "run.finished", "run.finished"]
    assert said[0][1]["snapshot_id"] == snapshot_id
    assert said[1][1] == {"run_id": run.id, "state": "failed"}
    assert said[2][1] == {"run_id": waiting.id, "state": "cancelled"}


def test_no_message_holds_a_word_of_a_dialogue(
    database: Database, cast: Cast, two_turns: Campaign, hook: Webhook
) -> None:
    for login, order in ((cast.li, "A > B > C > D"), (cast.wang, "B > A > C > D")):
        rank(database, login, two_turns, order)
    with database.writing() as session:
        [message] = hooks.claim(session)
    assert "问题" not in message.body.decode()
    assert json.loads(message.body)["data"] == {"campaign_id": two_turns.id, "turn_id": 1}


def test_without_a_hook_telling_is_one_small_query(database: Database, two_turns: Campaign) -> None:
    def work() -> None:
        with database.writing() as session:
            hooks.settled(session, places.lock_turn(session, 1))
            assert not session.info.get(hooks.TOLD)

    assert sum("webhooks" in statement for statement in statements(database, work)) == 1
    assert told(database) == []


def test_a_hook_is_told_only_what_it_wants_and_nothing_once_it_is_ended(session: Session, cast: Cast) -> None:
    wants_runs = hooks.create(session, URL, [Event.RUN_FINISHED], actor_id=None)
    gone = hooks.create(session, URL, [Event.RUN_FINISHED], actor_id=None)
    hooks.tell(session, Event.RUN_FINISHED, run_id=1, state="failed")
    session.flush()
    hooks.deactivate(session, gone, actor_id=cast.sun.id)
    hooks.tell(session, Event.SNAPSHOT_FROZEN, snapshot_id=1)
    hooks.tell(session, Event.RUN_FINISHED, run_id=2, state="failed")
    session.flush()
    session.expire_all()
    every = session.scalars(select(Delivery).order_by(Delivery.id)).all()
    assert [(each.webhook_id, each.payload["run_id"], each.state) for each in every] == [
        (wants_runs.id, 1, DeliveryState.WAITING),
        (gone.id, 1, DeliveryState.GIVEN_UP),
        (wants_runs.id, 2, DeliveryState.WAITING),
    ]
    with pytest.raises(Conflict):
        hooks.ping(session, gone)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x/",
        "https://",
        "javascript:alert(1)",
        "https://a:b@x/",
        "http://x:0/",
        "http://x:99999/",
        "https://x y/",
        "//x",
        "https://医院.cn/",
        "https://x/" + "a" * 512,
    ],
)
def test_an_address_that_cannot_be_sent_to_is_refused(session: Session, url: str) -> None:
    with pytest.raises(Invalid):
        hooks.create(session, url, [Event.RUN_FINISHED], actor_id=None)


def test_a_hook_needs_an_event(session: Session) -> None:
    for events in ([], [Event.PING]):
        with pytest.raises(Invalid):
            hooks.create(session, URL, events, actor_id=None)


def test_a_message_is_claimed_by_one_and_again_only_when_that_one_died(database: Database, hook: Webhook) -> None:
    now = utcnow() + timedelta(seconds=1)
    with database.writing() as session:
        hooks.ping(session, session.merge(hook))
        assert hooks.is_due(session, now)
        [message] = hooks.claim(session, now)
        assert hooks.claim(session, now) == []
    with database.writing() as session:
        assert not hooks.is_due(session, now + timedelta(seconds=119))
        [again] = hooks.claim(session, now + timedelta(seconds=120))
        assert (message.attempt, again.attempt) == (1, 2)
        assert (again.key, again.body) == (message.key, message.body)
        hooks.conclude(session, message, ARRIVED, chance=0.5)
        session.flush()
        delivery = session.get(Delivery, message.id)
        assert delivery is not None
        assert (delivery.state, delivery.tries) == (DeliveryState.WAITING, [])


def test_few_messages_to_each_hook_are_sent_at_once(session: Session) -> None:
    made = [hooks.create(session, URL, [Event.RUN_FINISHED], actor_id=None) for _ in range(3)]
    for number in range(5):
        hooks.tell(session, Event.RUN_FINISHED, run_id=number, state="failed")
    session.flush()
    claimed = [message.id for message in hooks.claim(session, utcnow() + timedelta(seconds=1))]
    owners = [each.webhook_id for each in session.scalars(select(Delivery).where(Delivery.id.in_(claimed)))]
    assert sorted(owners) == sorted([hook.id for hook in made] * 2)


def test_pauses_double_from_half_a_minute_to_four_hours() -> None:
    pauses = [hooks.pause_after(attempt, 0.5).total_seconds() for attempt in (1, 2, 3, 9, 10, 11, 1000)]
    assert pauses == [30, 60, 120, 7680, 14400, 14400, 14400]
    assert hooks.pause_after(1, 0.0).total_seconds() == 22.5
    assert hooks.pause_after(1, 1.0).total_seconds() == 37.5


def test_what_never_arrives_is_given_up_within_a_day_with_every_attempt_kept(session: Session) -> None:
    hook = hooks.create(session, URL, [Event.RUN_FINISHED], actor_id=None)
    delivery = hooks.ping(session, hook)
    now, attempts = delivery.created_at, 0
    while delivery.state is DeliveryState.WAITING:
        now = delivery.next_attempt_at
        [message] = hooks.claim(session, now)
        session.refresh(delivery)
        hooks.conclude(session, message, AWAY if attempts % 2 else REFUSED, chance=0.5, now=now)
        session.flush()
        attempts += 1
    assert delivery.state is DeliveryState.GIVEN_UP
    assert timedelta(hours=20) < now - delivery.created_at <= timedelta(hours=24)
    assert attempts == len(delivery.tries) == 14
    assert [each["status"] for each in delivery.tries[:2]] == [500, None]
    assert delivery.tries[1]["error"] == "ConnectError: away"


def test_a_message_that_was_given_up_is_sent_again_by_hand_but_one_that_arrived_is_not(session: Session) -> None:
    hook = hooks.create(session, URL, [Event.RUN_FINISHED], actor_id=None)
    delivery = hooks.ping(session, hook)
    delivery.state = DeliveryState.GIVEN_UP
    session.flush()
    assert hooks.claim(session, utcnow() + timedelta(seconds=1)) == []
    hooks.retry(session, hook, delivery.id)
    session.flush()
    [message] = hooks.claim(session, utcnow() + timedelta(seconds=1))
    session.refresh(delivery)
    hooks.conclude(session, message, ARRIVED, chance=0.5)
    assert delivery.state is DeliveryState.DELIVERED
    with pytest.raises(Conflict):
        hooks.retry(session, hook, delivery.id)
    with pytest.raises(Missing):
        hooks.retry(session, hooks.create(session, URL, [Event.RUN_FINISHED], actor_id=None), delivery.id)
