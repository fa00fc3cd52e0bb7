"""The statistics of a campaign: on a page in parts, and as files for spreadsheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.orm import Session

from annotation.agreement import Grouping, Statistic
from annotation.bootstrap import Estimate
from annotation.db import Database, utcnow
from annotation.people_tables import User
from annotation.refusals import Missing
from annotation.report import By, Table
from annotation.store import campaigns, statistics, watched
from annotation.store.changes import Stamp
from annotation.tables import Campaign
from app import curves, figures, spreadsheet, words
from app.deps import CampaignSeen, Data, Reading
from app.i18n import translate
from app.render import locale_of, page, wants_fragment
from app.watching import REST, Mark, Watching
from app.words import N_

router = APIRouter(prefix="/admin/campaigns/{campaign_id}")

EVERYTHING = "everything"
TITLES = {
    "agreement": N_("Agreement"),
    "bias": N_("Bias"),
    "pace": N_("Pace and finish"),
    "adjudication": N_("Adjudication"),
    "measuring": N_("Repeats, gold and audits"),
    "ceiling": N_("What a reward model can reach"),
}
GROUPINGS = {
    By.ALL: N_("over all"),
    Grouping.ANNOTATORS: N_("by the two annotators"),
    Grouping.ABILITY: N_("by the deciding ability"),
    Grouping.DEPARTMENT: N_("by department"),
    Grouping.DEPTH: N_("by the turn's depth"),
    Grouping.SOURCE: N_("by source"),
    Grouping.WEEK: N_("by week"),
    Grouping.GUIDELINE: N_("by version of the guideline"),
    By.PERSON: N_("by person"),
    By.ADJUDICATOR: N_("by adjudicator"),
    By.POSITION: N_("by position on the screen"),
    By.PERSON_ABILITY: N_("by person and ability"),
    By.DAY: N_("by day"),
    By.WORK: N_("by what is left"),
    By.RUN: N_("by run"),
    By.RUN_ABILITY: N_("by run and ability"),
}
HEADER = (
    N_("part"),
    N_("table"),
    N_("grouped"),
    N_("group"),
    N_("figure"),
    N_("value"),
    N_("interval from"),
    N_("interval to"),
    N_("n"),
)


@router.get("/agreement")
def former_agreement(campaign: CampaignSeen) -> RedirectResponse:
    """Where agreement used to be shown."""
    return RedirectResponse(f"/admin/campaigns/{campaign.id}/statistics", status_code=301)


@router.get("/statistics")
def first_part(request: Request, campaign: CampaignSeen, session: Reading) -> HTMLResponse:
    """The statistics, beginning with agreement."""
    return part(request, campaign, "agreement", session)


@router.get("/statistics/{name}.csv")
def download(request: Request, campaign: CampaignSeen, name: str, session: Reading) -> Response:
    """One part, or everything, as lines of figures."""
    return csv_of(session, campaign, name, locale_of(request))


def csv_of(session: Reading, campaign: Campaign, name: str, locale: str) -> Response:
    """One part, or everything, as a file for spreadsheets; raises Missing for a part that there is not."""
    parts = statistics.SECTIONS if name == EVERYTHING else (name,)
    if not set(parts) <= set(statistics.SECTIONS):
        raise Missing("There is no such part of the statistics.")
    people = statistics.names(session)
    rows = [
        line
        for each in parts
        for table in statistics.section(session, campaign, each, utcnow().date(), wait=True).tables
        for line in _lines(each, table, people, locale)
    ]
    return Response(
        spreadsheet.write([translate(locale, each) for each in HEADER], rows),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="campaign-{campaign.id}-{name}.csv"'},
    )


@router.get("/statistics/{name}")
def part(request: Request, campaign: CampaignSeen, name: str, session: Reading) -> HTMLResponse:
    """One part of the statistics; to script, the part alone."""
    if name not in statistics.SECTIONS:
        raise Missing("There is no such part of the statistics.")
    return page(
        request,
        "statistics/_part.html" if wants_fragment(request) else "statistics/page.html",
        campaign=campaign,
        shown_part=name,
        titles=TITLES,
        groupings=GROUPINGS,
        **_context(request, campaign, name, session),
    )


@router.get("/statistics/{name}/live")
def live_part(
    request: Request, campaign_id: int, name: str, _user: Watching, database: Data, mark: Mark = ""
) -> Response:
    """The same part for a page that is open: nothing where its figures are those of this mark."""
    if name not in statistics.SECTIONS:
        raise Missing("There is no such part of the statistics.")
    shown = {"shown_part": name, "titles": TITLES, "groupings": GROUPINGS}
    return _renewed(request, "statistics/_part.html", database, campaign_id, name, mark, shown)


@router.get("/glance")
def glance(request: Request, campaign_id: int, _user: Watching, database: Data, mark: Mark = "") -> Response:
    """The campaign's part of the overview, which comes after the page because it has more to count."""
    return _renewed(request, "statistics/_glance.html", database, campaign_id, statistics.GLANCE, mark, {})


def _renewed(
    request: Request, template: str, database: Database, campaign_id: int, name: str, mark: str, shown: dict[str, Any]
) -> Response:
    """Newer figures than those of this mark; 204 where there are none, 202 where they are not computed yet."""
    today = utcnow().date()
    with database.glancing() as session:
        now, stamp = watched.lately(
            session, (campaign_id, name), lambda: statistics.mark(session, campaign_id, name, today)
        )
    if now == mark:
        return Response(status_code=204)
    with database.reading() as session:
        campaign = campaigns.get(session, campaign_id)
        context = _context(request, campaign, name, session, rests=REST, stamp=stamp)
        if context["mark"] == mark:
            return Response(status_code=202)
        return page(request, template, campaign=campaign, **shown, **{**context, "as_of": None})


def _context(
    request: Request, campaign: Campaign, name: str, session: Session, *, rests: float = 0, stamp: Stamp | None = None
) -> dict[str, Any]:
    locale, people = locale_of(request), statistics.names(session)
    found = statistics.section(session, campaign, name, utcnow().date(), rests=rests, stamp=stamp)
    by_name = {(table.name, table.by): figures.shown(table, people, locale) for table in found.tables}
    return {
        "tables": by_name,
        "mark": found.mark,
        "as_of": found.as_of,
        "By": By,
        "Grouping": Grouping,
        "people": _compared(found.tables, campaigns.members(session, campaign.id)),
        "charts": {
            table.by: _chart(table, wide=name != statistics.GLANCE)
            for table in found.tables
            if table.by in (Grouping.WEEK, By.DAY)
        },
        "today": utcnow().date(),
    }


def _compared(tables: Sequence[Table], members: Sequence[User]) -> list[User]:
    """The members of whom a matrix has something to say: who has ranked nothing has no line of empty cells."""
    keys = {table.by: table.rows for table in tables}
    told = {person for pair in keys.get(Grouping.ANNOTATORS, ()) for person in pair}
    told |= {person for person, _ability in keys.get(By.PERSON_ABILITY, ())}
    return [member for member in members if member.id in told]


def _chart(table: Table, *, wide: bool) -> curves.Chart | None:
    """How the figures went: agreement by week with its intervals, work by day."""
    wanted = (Statistic.PAIRS, Statistic.ALPHA) if table.by is Grouping.WEEK else tuple(table.columns)
    series = {name: [row[name] for row in table.rows.values()] for name in wanted}
    by_day = table.by is By.DAY
    width = curves.WIDE if by_day and wide else curves.WIDTH
    return curves.chart([key.isoformat()[5:] for key in table.rows], series, zero=by_day, width=width)


def _lines(part: str, table: Table, people: Mapping[int, str], locale: str) -> list[Sequence[str | float | int | None]]:
    """Every figure of a table in long form: one line each."""
    said = [translate(locale, each) for each in (TITLES[part], words.WORDS[table.name], GROUPINGS[table.by])]
    return [
        [*said, figures.row_name(table.by, key, people, locale), _word(name, locale), *_numbers(estimate)]
        for key, row in table.rows.items()
        for name, estimate in row.items()
    ]


def _word(name: str, locale: str) -> str:
    return translate(locale, words.WORDS[name])


def _numbers(estimate: Estimate) -> tuple[float | int | None, ...]:
    return estimate.value, estimate.low, estimate.high, estimate.n
