"""Lists by the piece: a page says where the next one begins, and nothing that is added meanwhile shifts it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from annotation.refusals import Invalid
from app.words import N_

Row = TypeVar("Row")
Item = TypeVar("Item")

MOST, MOST_ROWS = 200, 2**31
BAD_CURSOR = N_("This cursor is not one of ours: leave it out to begin again.")
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before; left out: the first page")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most")]


class Page(BaseModel, Generic[Item]):
    """A piece of a list."""

    items: list[Item]
    next: str | None = Field(description="The cursor of the next page; null where this is the last")


def page_of(
    rows: Sequence[Row], limit: int, show: Callable[[Row], Item], key: Callable[[Row], Sequence[int | float]]
) -> Page[Item]:
    """The page of ``limit + 1`` rows or fewer; the next one begins behind the ``key`` of the last that is shown."""
    shown = rows[:limit]
    following = encode(key(shown[-1])) if len(rows) > limit else None
    return Page(items=[show(row) for row in shown], next=following)


def encode(key: Sequence[int | float]) -> str:
    """The cursor behind the row with this key."""
    return base64.urlsafe_b64encode(json.dumps(list(key)).encode()).decode().rstrip("=")


def number_in(cursor: str | None) -> int | None:
    """The id in a cursor, None where there is no cursor; raises Invalid for what is none."""
    match _decoded(cursor):
        case None:
            return None
        case [int() as number]:
            return number
    raise Invalid(BAD_CURSOR)


def place_in(cursor: str | None) -> int:
    """How many rows of a file come before the page; raises Invalid for a cursor that is none."""
    place = number_in(cursor) or 0
    if not 0 <= place < MOST_ROWS:
        raise Invalid(BAD_CURSOR)
    return place


def score_in(cursor: str | None) -> tuple[float, int] | None:
    """The score and the id in a cursor, None where there is no cursor; raises Invalid for what is none."""
    match _decoded(cursor):
        case None:
            return None
        case [(float() | int()) as score, int() as number] if isfinite(score):
            return float(score), number
    raise Invalid(BAD_CURSOR)


def _decoded(cursor: str | None) -> object:
    if cursor is None:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise Invalid(BAD_CURSOR) from error
