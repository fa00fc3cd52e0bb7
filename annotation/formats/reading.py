"""Reads a file in whichever of the known formats it is."""

from __future__ import annotations

from annotation.formats import cmtmedqa, label_tool, messages, own
from annotation.formats.files import Row, UnreadableError, decode, rows_of
from annotation.formats.rows import Choice, MisfitError, NewDialogue, Reading, RowError
from annotation.formats.storable import unstorable

UNKNOWN = "unknown"
FORMATS = (own, messages, label_tool, cmtmedqa)


def read_file(data: bytes, *, k: int, seed: int = 0) -> Reading:
    """Everything a file holds for a campaign of k responses a turn; every problem is found in one go.

    Each row is recognised by itself, for real files mix schemas. Of more than k responses k are chosen with ``seed``.
    """
    reading = Reading(UNKNOWN)
    try:
        for row in rows_of(decode(data)):
            _read_row(reading, row, k, seed)
    except UnreadableError as error:
        reading.problems.append(error.at(error.line))
    _refuse_repeated(reading)
    return reading


def _read_row(reading: Reading, row: Row, k: int, seed: int) -> None:
    try:
        name, dialogue = _parse(reading, _sound(row), k, seed)
    except MisfitError as misfit:
        reading.problems += [error.at(row.line) for error in misfit.errors]
        return
    reading.format = name if reading.format in (UNKNOWN, name) else "mixed"
    reading.dialogues.append(dialogue)


def _sound(row: Row) -> Row:
    """The row, if it is JSON that can be stored; raises MisfitError otherwise."""
    if isinstance(row.value, RowError):
        raise row.value
    errors = list(unstorable(row.value))
    if errors:
        raise MisfitError(errors)
    return row


def _parse(reading: Reading, row: Row, k: int, seed: int) -> tuple[str, NewDialogue]:
    if messages.recognises(row.value):
        dialogue, kept = messages.read(row.value, row.line, k, seed)
        offered = len(row.value.get("responses", []))
        if len(kept) < offered:
            reading.choices.append(Choice(dialogue.external_id, tuple(i + 1 for i in kept), offered))
        return messages.NAME, dialogue
    for form in (own, label_tool, cmtmedqa):
        if form.recognises(row.value):
            return form.NAME, form.read(row.value, row.line, k)
    known = ", ".join(form.NAME for form in FORMATS)
    raise RowError("row", "a row of one of the known formats was expected: {known}", known=known)


def _refuse_repeated(reading: Reading) -> None:
    """The same identity twice in one file: the same content is one dialogue, said so; other content is a problem."""
    kept: dict[str, NewDialogue] = {}
    for dialogue in reading.dialogues:
        before = kept.setdefault(dialogue.external_id, dialogue)
        if before is not dialogue and (before.system, before.turns) != (dialogue.system, dialogue.turns):
            error = RowError(
                "id",
                "an id of its own was expected, but {id} stands on line {line} with other content",
                id=dialogue.external_id,
                line=before.line,
            )
            reading.problems.append(error.at(dialogue.line))
        elif before is not dialogue:
            reading.repeated.append(dialogue.line)
    reading.dialogues = list(kept.values())
