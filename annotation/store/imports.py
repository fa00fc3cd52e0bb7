"""Dialogues come into a campaign: all of a file or nothing of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from annotation.formats.rows import NewDialogue, NewTurn, Problem, RowError
from annotation.store import audit
from annotation.tables import Campaign, Dialogue, Response, Turn, TurnState

BATCH = 1000
LONGEST_SOURCE = 256
Item = TypeVar("Item")


@dataclass
class Imported:
    """What an import did; ``known`` dialogues were there already, with the same content and no other responses."""

    dialogues: int = 0
    turns: int = 0
    waiting: int = 0
    safety: int = 0
    known: int = 0
    completed: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Known:
    """A turn that is in the campaign already."""

    id: int
    state: TurnState
    fingerprint: str
    responses: frozenset[str]


def add(
    session: Session, campaign: Campaign, dialogues: Sequence[NewDialogue], *, source: str, actor_id: int | None
) -> Imported:
    """Adds what is new, and responses to turns that waited for them; adds nothing if anything contradicts.

    What contradicts, an id that is here with other content or other responses, is in ``problems`` of the result.
    """
    done = Imported()
    source = _storable(source)
    here = _known(session, campaign.id, [dialogue.external_id for dialogue in dialogues])
    fresh = [dialogue for dialogue in dialogues if dialogue.external_id not in here]
    completing: list[tuple[int, NewTurn]] = []
    for dialogue in dialogues:
        if dialogue.external_id in here:
            try:
                completing += _compare(dialogue, here[dialogue.external_id])
                done.known += 1
            except RowError as error:
                done.problems.append(error.at(dialogue.line))
    if done.problems:
        return Imported(problems=done.problems)
    _insert(session, campaign, fresh, source, done)
    _complete(session, completing)
    done.completed = len(completing)
    audit.record(
        session,
        actor_id,
        "imported",
        f"campaign {campaign.id}",
        source=source,
        dialogues=done.dialogues,
        turns=done.turns,
        completed=done.completed,
    )
    return done


def _storable(source: str) -> str:
    """The name of a file as its column takes it: names may hold bytes that are no text, and be of any length."""
    return source.encode(errors="replace").decode().replace("\0", "")[:LONGEST_SOURCE]


def _known(session: Session, campaign_id: int, identities: Sequence[str]) -> dict[str, dict[int, _Known]]:
    found: dict[str, dict[int, _Known]] = {}
    for batch in _batches(identities):
        rows = session.execute(
            select(Dialogue.external_id, Turn.number, Turn.id, Turn.state, Turn.fingerprint)
            .join(Turn, Turn.dialogue_id == Dialogue.id)
            .where(Dialogue.campaign_id == campaign_id, Dialogue.external_id.in_(batch))
        )
        texts = _texts(session, campaign_id, batch)
        for identity, number, turn_id, state, fingerprint in rows:
            known = _Known(turn_id, state, fingerprint, frozenset(texts.get(turn_id, ())))
            found.setdefault(identity, {})[number] = known
    return found


def _texts(session: Session, campaign_id: int, identities: Sequence[str]) -> dict[int, list[str]]:
    """The responses that these dialogues have here, by turn."""
    found: dict[int, list[str]] = {}
    rows = session.execute(
        select(Response.turn_id, Response.text)
        .join(Turn, Turn.id == Response.turn_id)
        .join(Dialogue, Dialogue.id == Turn.dialogue_id)
        .where(Dialogue.campaign_id == campaign_id, Dialogue.external_id.in_(identities))
    )
    for turn_id, text in rows:
        found.setdefault(turn_id, []).append(text)
    return found


def _compare(dialogue: NewDialogue, here: dict[int, _Known]) -> Iterator[tuple[int, NewTurn]]:
    """The turns that waited for the responses this dialogue brings; raises RowError where the content differs."""
    for turn in dialogue.turns:
        known = here.get(turn.number)
        if known is None or known.fingerprint != turn.fingerprint(dialogue.system):
            raise RowError(
                "id",
                "an id of its own was expected, but {id} is in this campaign with other content (turn {number})",
                id=dialogue.external_id,
                number=turn.number,
            )
        if turn.responses and known.responses and known.responses != {r.text for r in turn.responses}:
            raise RowError(
                "responses",
                "the responses that {id} has in this campaign were expected, but turn {number} comes with others: "
                "give the dialogue another id, or import it into another campaign",
                id=dialogue.external_id,
                number=turn.number,
            )
        if known.state is TurnState.NEEDS_RESPONSES and turn.responses:
            yield known.id, turn


def _insert(
    session: Session, campaign: Campaign, dialogues: Sequence[NewDialogue], source: str, done: Imported
) -> None:
    for batch in _batches(dialogues):
        rows = [
            {"campaign_id": campaign.id, "external_id": d.external_id, "department": d.department, "source": source}
            for d in batch
        ]
        ids = session.scalars(insert(Dialogue).returning(Dialogue.id, sort_by_parameter_order=True), rows).all()
        turns = [
            (dialogue, turn, dialogue_id)
            for dialogue, dialogue_id in zip(batch, ids, strict=True)
            for turn in dialogue.turns
        ]
        _insert_turns(session, campaign, turns)
        done.dialogues += len(batch)
        done.turns += len(turns)
        done.waiting += sum(not turn.responses for _, turn, _ in turns)
        done.safety += sum(turn.safety for _, turn, _ in turns)


def _insert_turns(session: Session, campaign: Campaign, turns: Sequence[tuple[NewDialogue, NewTurn, int]]) -> None:
    rows = [_turn_row(campaign.id, *each) for each in turns]
    ids = session.scalars(insert(Turn).returning(Turn.id, sort_by_parameter_order=True), rows).all()
    _insert_responses(session, zip(ids, (turn for _, turn, _ in turns), strict=True))


def _turn_row(campaign_id: int, dialogue: NewDialogue, turn: NewTurn, dialogue_id: int) -> dict[str, Any]:
    return {
        "campaign_id": campaign_id,
        "dialogue_id": dialogue_id,
        "number": turn.number,
        "fingerprint": turn.fingerprint(dialogue.system),
        "system": dialogue.system,
        "history": [list(exchange) for exchange in turn.history],
        "message": turn.message,
        "reference_reply": turn.reply,
        "department": dialogue.department,
        "in_distribution": turn.in_distribution,
        "safety": turn.safety,
        "priority": turn.priority,
        "state": TurnState.OPEN if turn.responses else TurnState.NEEDS_RESPONSES,
    }


def _insert_responses(session: Session, turns: Iterable[tuple[int, NewTurn]]) -> None:
    rows = [
        {"turn_id": turn_id, "number": i, "text": r.text, "model": r.model, "sampling": dict(r.sampling)}
        for turn_id, turn in turns
        for i, r in enumerate(turn.responses)
    ]
    if rows:
        session.execute(insert(Response), rows)


def _complete(session: Session, turns: Sequence[tuple[int, NewTurn]]) -> None:
    _insert_responses(session, turns)
    for batch in _batches([turn_id for turn_id, _ in turns]):
        session.execute(update(Turn).where(Turn.id.in_(batch)).values(state=TurnState.OPEN))


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[i : i + BATCH] for i in range(0, len(items), BATCH))
