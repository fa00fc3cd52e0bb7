"""The statistics of a campaign, for the admin's programs: every figure with its interval."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from annotation.db import utcnow
from annotation.refusals import Missing
from annotation.report import Table
from annotation.store import statistics
from app.api.problems import language
from app.deps import CampaignSeen, Reading
from app.routes.statistics import csv_of

router = APIRouter(tags=["statistics"])


class Figure(BaseModel):
    """A figure with its 95 % interval over dialogues; null where it is undefined or counted exactly."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int = Field(description="How many it is about")


class RowShape(BaseModel):
    """The figures of a group."""

    group: list[int | str] = Field(description="What the group is, such as the ids of two annotators; empty: all")
    figures: list[Figure]


class TableShape(BaseModel):
    """Figures by groups of one kind."""

    name: str
    by: str = Field(description="What the groups are")
    rows: list[RowShape]


@router.get("/campaigns/{campaign_id}/statistics")
def list_parts(_campaign: CampaignSeen) -> list[str]:
    """The parts of a campaign's statistics."""
    return list(statistics.SECTIONS)


@router.get("/campaigns/{campaign_id}/statistics/{part}")
def get_statistics(campaign: CampaignSeen, part: str, session: Reading) -> list[TableShape]:
    """One part of a campaign's statistics: agreement, bias, pace, adjudication, measuring or ceiling."""
    if part not in statistics.SECTIONS:
        raise Missing("There is no such part of the statistics.")
    return [_table(each) for each in statistics.section(session, campaign, part, utcnow().date(), wait=True).tables]


@router.get(
    "/campaigns/{campaign_id}/statistics/{part}/csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "A line a figure, with names and in words"}},
)
def download_statistics(request: Request, campaign: CampaignSeen, part: str, session: Reading) -> Response:
    """One part of the statistics as a file for spreadsheets; `everything` is all of them."""
    return csv_of(session, campaign, part, language(request))


def _table(table: Table) -> TableShape:
    rows = [RowShape(group=_group(key), figures=figures_of(row.items())) for key, row in table.rows.items()]
    return TableShape(name=table.name, by=table.by, rows=rows)


def figures_of(row: Iterable[tuple[str, Any]]) -> list[Figure]:
    """Estimates by name, as they are told."""
    return [Figure(name=name, value=e.value, low=e.low, high=e.high, n=e.n) for name, e in row]


def _group(key: Any) -> list[int | str]:
    """The key of a row, whatever it is made of, in numbers and texts."""
    parts = key if isinstance(key, tuple) else (key,)
    return [each.isoformat() if isinstance(each, date) else _plain(each) for each in parts if each != ""]


def _plain(value: Any) -> int | str:
    return value if isinstance(value, str) else int(value)
