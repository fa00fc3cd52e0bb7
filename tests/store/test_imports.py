"""Dialogues come in: all or nothing, once."""

from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotation.formats import own, rows
from annotation.formats.reading import read_file
from annotation.formats.rows import NewDialogue, NewResponse
from annotation.store import imports
from annotation.tables import Campaign, Dialogue, Response, Turn, TurnState
from tests.material import dialogue, json_lines, own_row


def count(session: Session) -> tuple[int, ...]:
    return tuple(session.scalar(select(func.count()).select_from(t)) or 0 for t in (Dialogue, Turn, Response))


def test_turns_with_responses_are_open_and_others_wait(session: Session, campaign: Campaign) -> None:
    waiting = dialogue("d2")
    waiting = replace(waiting, turns=(replace(waiting.turns[0], responses=()),))
    done = imports.add(session, campaign, [dialogue("d1", turns=2), waiting], source="t", actor_id=None)
    assert (done.dialogues, done.turns, done.waiting) == (2, 3, 1)
    states = session.scalars(select(Turn.state).order_by(Turn.id)).all()
    assert states == [TurnState.OPEN, TurnState.OPEN, TurnState.NEEDS_RESPONSES]
    second = session.scalars(select(Turn).where(Turn.number == 2)).one()
    assert second.history == [["d1 问题1", "d1 回答1甲"]]
    assert [r.text for r in second.responses] == [f"d1 回答2{c}" for c in "甲乙丙丁"]


def test_the_same_dialogues_again_add_nothing(session: Session, campaign: Campaign) -> None:
    dialogues = [dialogue("d1", turns=2), dialogue("d2")]
    imports.add(session, campaign, dialogues, source="t", actor_id=None)
    before = count(session)
    again = imports.add(session, campaign, dialogues, source="t", actor_id=None)
    assert (again.dialogues, again.known, count(session)) == (0, 2, before)


def test_responses_complete_the_turns_that_waited_for_them(session: Session, campaign: Campaign) -> None:
    whole = dialogue("d1", turns=2)
    bare = replace(whole, turns=tuple(replace(t, responses=()) for t in whole.turns))
    imports.add(session, campaign, [bare], source="t", actor_id=None)
    done = imports.add(session, campaign, [whole], source="generated", actor_id=None)
    assert (done.known, done.completed, count(session)) == (1, 2, (1, 2, 8))
    assert set(session.scalars(select(Turn.state))) == {TurnState.OPEN}


def test_a_known_id_with_other_content_imports_nothing_at_all(session: Session, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue("d1")], source="t", actor_id=None)
    other = dialogue("d1")
    other = replace(other, line=7, turns=(replace(other.turns[0], message="别的问题"),))
    before = count(session)
    done = imports.add(session, campaign, [dialogue("d2"), other], source="t", actor_id=None)
    assert [(p.line, p.where) for p in done.problems] == [(7, "id")]
    assert count(session) == before


def with_texts(given: NewDialogue, *texts: str) -> NewDialogue:
    responses = tuple(NewResponse(text) for text in texts)
    return replace(given, turns=(replace(given.turns[0], responses=responses),))


def test_a_known_dialogue_with_other_responses_imports_nothing_at_all(session: Session, campaign: Campaign) -> None:
    imports.add(session, campaign, [with_texts(dialogue("d1"), *"abcd")], source="t", actor_id=None)
    other = replace(with_texts(dialogue("d1"), *"abce"), line=3)
    before = count(session)
    done = imports.add(session, campaign, [dialogue("d2"), other], source="t", actor_id=None)
    [problem] = done.problems
    assert (problem.line, problem.where) == (3, "responses")
    assert "turn 1 comes with others: give the dialogue another id" in str(problem)
    assert count(session) == before


def test_the_same_responses_in_another_order_or_none_at_all_are_known(session: Session, campaign: Campaign) -> None:
    imports.add(session, campaign, [with_texts(dialogue("d1"), *"abcd")], source="t", actor_id=None)
    before = count(session)
    for texts in ("dcba", ""):
        done = imports.add(session, campaign, [with_texts(dialogue("d1"), *texts)], source="t", actor_id=None)
        assert (done.known, done.problems, count(session)) == (1, [], before)


def test_the_longest_values_that_are_read_can_be_stored(session: Session, campaign: Campaign) -> None:
    row = own_row("号" * rows.LONGEST_ID)
    row["department"] = "儿" * rows.LONGEST_DEPARTMENT
    row["turns"][0]["responses"][0]["model"] = "模" * rows.LONGEST_MODEL
    row["turns"][0]["priority"] = own.HIGHEST_PRIORITY
    reading = read_file(json_lines(row), k=4)
    assert reading.problems == []
    imports.add(session, campaign, reading.dialogues, source="t", actor_id=None)
    session.expire_all()
    turn = session.scalars(select(Turn)).one()
    assert (len(turn.dialogue.external_id), len(turn.department), turn.priority) == (128, 64, 2**31 - 1)
    assert len(turn.responses[0].model) == 256


def test_the_name_of_a_file_is_cut_to_what_can_be_stored(session: Session, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="\udcff\0" + "件" * 300, actor_id=None)
    session.expire_all()
    assert session.scalars(select(Dialogue.source)).one() == "?" + "件" * 255


def test_many_dialogues_keep_their_turns_and_responses_together(session: Session, campaign: Campaign) -> None:
    total = imports.BATCH + 50
    imports.add(session, campaign, [dialogue(f"d{i}") for i in range(total)], source="t", actor_id=None)
    assert count(session) == (total, total, 4 * total)
    for turn in session.scalars(select(Turn).where(Turn.id % 97 == 0)):
        assert turn.message.split()[0] == turn.dialogue.external_id == turn.responses[3].text.split()[0]
