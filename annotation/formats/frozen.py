"""The rows of a snapshot as they are read back, each checked for its form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from annotation import snapshot
from annotation.formats.rows import LONGEST_DEPARTMENT, LONGEST_ID, LONGEST_MODEL, LONGEST_TEXT, Exchange
from annotation.formats.storable import unstorable
from annotation.ranking import BadRankingError, Ranking
from annotation.refusals import Invalid
from annotation.review_tables import ReviewKind
from annotation.tables import AssignmentState, Purpose, SettledBy

LARGEST = 2**31 - 1
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Number = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Name = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,16}$")]
Time = AwareDatetime
Order = Annotated[list[Annotated[int, Field(ge=0, le=4)]], Field(max_length=5)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore")


class GuidelineRow(_Read):
    """A version of the guideline."""

    version: Annotated[int, Field(ge=1, le=LARGEST)]
    text: str
    created_at: Time


class ResponseRow(_Read):
    """One of the K responses."""

    text: Text
    model: Annotated[str, Field(max_length=LONGEST_MODEL)]
    sampling: dict[str, Any]


class TurnRow(_Read):
    """A settled turn; what is settled about its pairs follows from what was said."""

    dialogue: Annotated[str, Field(max_length=LONGEST_ID)]
    number: Number
    source: Annotated[str, Field(max_length=256)]
    department: Annotated[str, Field(max_length=LONGEST_DEPARTMENT)]
    in_distribution: bool | None
    safety: bool
    gold: bool
    priority: Number
    system: Text | None
    history: list[Exchange]
    message: Text
    reply: Text | None
    responses: Annotated[list[ResponseRow], Field(min_length=2, max_length=5)]
    rewrite: Text | None
    settled_by: SettledBy
    settled_at: Time | None


class RankingRow(_Read):
    """What one annotator said about a turn, in one version; version 0 is that it could not be judged."""

    dialogue: str
    number: int
    annotator: Name
    purpose: Purpose
    place: Annotated[int, Field(ge=1, le=2)] | None
    state: AssignmentState
    reason: str | None
    version: Annotated[int, Field(ge=0, le=LARGEST)]
    late: bool
    guideline_version: int | None
    shown_order: Order
    active_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    note: str
    given_at: Time
    submitted_at: Time | None
    selection_probability: Annotated[float, Field(ge=0, le=1)] | None
    groups: list[list[int]]
    boundaries: list[dict[str, Any]]
    marks: dict[str, list[int]]
    none_acceptable: bool

    def ranking(self) -> Ranking:
        """The ranking as the rules know it; raises BadRankingError, KeyError or ValueError where it is none."""
        return Ranking.from_json(self.model_dump(include={"groups", "boundaries", "marks", "none_acceptable"}))


class Ranker(_Read):
    """Who said something about a turn."""

    annotator: Name


class ReviewRow(_Read):
    """What one adjudicator decided about a turn."""

    dialogue: str
    number: int
    adjudicator: Name
    kind: ReviewKind
    annotators: Annotated[list[Name | None], Field(min_length=2, max_length=2)]
    shown_order: Order
    decisions: dict[str, Any]
    result: dict[str, Any] | None
    opened_at: Time
    decided_at: datetime
    rewritten_at: Time | None


Kind = TypeVar("Kind", bound=_Read)


def read(folder: Path, name: str, kind: type[Kind]) -> Iterator[Kind]:
    """The rows of a file; raises Invalid naming the line that is not of its form."""
    line = 0
    try:
        for row in snapshot.read_rows(folder / name):
            line += 1
            for error in unstorable(row):
                raise error
            found = kind.model_validate(row)
            if isinstance(found, RankingRow) and found.version:
                found.ranking()
            yield found
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise _misfit(name, line, where) from error
    except (ValueError, KeyError, TypeError, BadRankingError, RecursionError) as error:
        raise _misfit(name, line, "") from error


def _misfit(name: str, line: int, where: str) -> Invalid:
    message = "{name}, line {line}: this is no row of a snapshot ({where})."
    return Invalid(message, name=name, line=line, where=where or "…")
