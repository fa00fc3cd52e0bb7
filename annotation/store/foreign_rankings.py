"""Rankings that were made with the RLHF-Label-Tool come into a campaign: all of a table, or nothing of it.

They are somebody's rankings like any other: one alone settles nothing, the turn waits for a second annotator.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.db import Database, utcnow
from annotation.formats import label_tool_table
from annotation.formats.label_tool_table import TableRow, inverse
from annotation.formats.reading import read_file
from annotation.formats.rows import NewDialogue, Problem, Reading, RowError
from annotation.people_tables import Role, User, UserState
from annotation.ranking import Boundary, Ranking
from annotation.refusals import Invalid
from annotation.store import audit, campaigns, imports, people, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, Dialogue, Response, Turn

LONGEST_NAME = 32
BATCH = 500


@dataclass
class Added:
    """What was added. Of ``numbered`` rows it is known which response is which; ``differing`` of them are stored
    otherwise than they were chosen, and are mended where that was asked for.
    """

    rankings: int = 0
    numbered: int = 0
    differing: int = 0
    mended: bool = False
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Known:
    """A turn of the campaign, with its responses as they are numbered."""

    turn_id: int
    texts: tuple[str, ...]


def bring(
    database: Database,
    campaign: Campaign,
    table: bytes,
    asked: bytes = b"",
    *,
    annotator: str,
    mend: bool,
    source: str,
    actor_id: int | None,
) -> Added:
    """Adds the rankings of a table as the tool wrote it, with the tool's input file where that is at hand.

    Both are read before anything is locked; with a single problem in either nothing is added.
    """
    found = label_tool_table.read(table, campaign.k)
    reading = read_file(asked, k=campaign.k) if asked else Reading("")
    if problems := [*found.problems, *reading.problems]:
        return Added(mended=mend, problems=problems)
    with database.writing() as session:
        return add(
            session,
            campaigns.get(session, campaign.id),
            found.rows,
            annotator=annotator,
            mend=mend,
            asked=reading.dialogues,
            source=source,
            actor_id=actor_id,
        )


def add(
    session: Session,
    campaign: Campaign,
    rows: Sequence[TableRow],
    *,
    annotator: str,
    mend: bool,
    asked: Sequence[NewDialogue],
    source: str,
    actor_id: int | None,
) -> Added:
    """Adds the rankings of a table as those of one annotator who cannot log in.

    ``asked`` is the tool's input file, as far as it is at hand: with it, or where its dialogues were imported before,
    each row is numbered, and ``mend`` undoes the tool's fault. A row of an unknown turn brings its turn along, unless
    it is to be mended.
    """
    with session.begin_nested() as before:
        done = _add(session, campaign, rows, annotator=annotator, mend=mend, asked=asked, source=source)
        if done.problems:
            before.rollback()
            return done
    detail = {"rankings": done.rankings, "differing": done.differing, "mended": mend}
    audit.record(session, actor_id, "rankings imported", f"campaign {campaign.id}", source=source, **detail)
    return done


def _add(
    session: Session,
    campaign: Campaign,
    rows: Sequence[TableRow],
    *,
    annotator: str,
    mend: bool,
    asked: Sequence[NewDialogue],
    source: str,
) -> Added:
    done = Added(mended=mend)
    done.problems += imports.add(session, campaign, asked, source=source, actor_id=None).problems
    numbered = _known(session, campaign.id, rows)
    if mend:
        done.problems += [_unknown(row) for row in rows if row.dialogue.external_id not in numbered]
    else:
        brought = [row.dialogue for row in rows if row.dialogue.external_id not in numbered]
        done.problems += imports.add(session, campaign, brought, source=source, actor_id=None).problems
    if done.problems:
        return done
    user = _annotator(session, campaign, annotator)
    known = _known(session, campaign.id, rows)
    ranked = set(session.scalars(select(Assignment.turn_id).where(Assignment.user_id == user.id)))
    for row in rows:
        turn = known[row.dialogue.external_id]
        try:
            stored = _order(row, turn, ranked)
        except RowError as error:
            done.problems.append(error.at(row.line))
            continue
        differs = row.dialogue.external_id in numbered and stored != inverse(stored)
        done.numbered += row.dialogue.external_id in numbered
        done.differing += differs
        _rank(session, user, turn, inverse(stored) if mend else stored)
        ranked.add(turn.turn_id)
        done.rankings += 1
    return done


def _unknown(row: TableRow) -> Problem:
    error = RowError(
        "row", "a turn of the tool's input file was expected: without it nobody can tell which response was which"
    )
    return error.at(row.line)


def _known(session: Session, campaign_id: int, rows: Sequence[TableRow]) -> dict[str, _Known]:
    """The turns of these rows that are in the campaign with their responses, by the name of the dialogue."""
    texts: dict[str, tuple[int, list[str]]] = {}
    names = sorted({row.dialogue.external_id for row in rows})
    for start in range(0, len(names), BATCH):
        found = session.execute(
            select(Dialogue.external_id, Turn.id, Response.text)
            .join(Turn, Turn.dialogue_id == Dialogue.id)
            .join(Response, Response.turn_id == Turn.id)
            .where(Dialogue.campaign_id == campaign_id, Dialogue.external_id.in_(names[start : start + BATCH]))
            .order_by(Turn.id, Response.number)
        )
        for name, turn_id, text in found:
            texts.setdefault(name, (turn_id, []))[1].append(text)
    return {name: _Known(turn_id, tuple(given)) for name, (turn_id, given) in texts.items()}


def _order(row: TableRow, turn: _Known, ranked: set[int]) -> list[int]:
    """The responses of a row by their numbers, as the table has them; raises RowError where they are others."""
    if turn.turn_id in ranked:
        raise RowError("row", "a turn was expected that this annotator has not ranked yet: give another name")
    if sorted(turn.texts) != sorted(row.texts):
        raise RowError("rank1", "the responses that this turn has in the campaign were expected, but there are others")
    return [turn.texts.index(text) for text in row.texts]


def _annotator(session: Session, campaign: Campaign, name: str) -> User:
    """Who made the rankings: somebody of that name who cannot log in, of this campaign alone."""
    if not name.strip() or len(name) > LONGEST_NAME:
        raise Invalid(
            "A name of at most {most} characters was expected for whoever made the rankings.", most=LONGEST_NAME
        )
    login = f"imported-{campaign.id}-{name.strip()}"
    found = people.by_login(session, login)
    if found is None:
        found = User(login=login, name=name.strip(), role=Role.ANNOTATOR, state=UserState.DEACTIVATED)
        session.add(found)
        session.flush()
    return found


def _rank(session: Session, user: User, turn: _Known, order: Sequence[int]) -> None:
    """The order, best first, as a ranking without reasons, made with the responses in the order of their numbers."""
    held = Assignment(
        turn_id=turn.turn_id, user_id=user.id, leased_until=utcnow(), response_order=list(range(len(order)))
    )
    session.add(held)
    session.flush()
    ranking = Ranking(tuple((response,) for response in order), (Boundary(),) * (len(order) - 1))
    rankings.submit(session, held, Submission(f"imported-{secrets.token_hex(16)}", ranking))
