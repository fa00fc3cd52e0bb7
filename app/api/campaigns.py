"""Campaigns, for the admin's programs: rules, guideline, members, dialogues, progress."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, model_validator
from sqlalchemy.orm import Session

from annotation.formats.reading import read_file
from annotation.formats.rows import Problem
from annotation.people_tables import Role
from annotation.refusals import Invalid
from annotation.review_policy import ReviewPolicy
from annotation.store import attention, campaigns, imports, listing, people
from annotation.tables import Campaign, Membership, PriorityRule, TurnOrder, TurnState
from app import rows
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.api.problems import FieldProblem, ProblemError, RowProblem, language
from app.api.ranking import GuidelineShape, show_guideline
from app.api.shapes import Given, Words
from app.deps import Admin, CampaignChanged, CampaignSeen, Data, Reading, Writing
from app.words import N_

router = APIRouter(tags=["campaigns"])

NOTHING_IMPORTED = N_("Nothing was imported: mend the rows under errors, or send skip=true to leave them out.")
CONTRADICTED = N_("Nothing was imported: these rows contradict what is in the campaign already.")
LONGEST_TEXT = 200_000
RULES = frozenset(("name", "ties_allowed", "priority_rule", "rewrite_template", "lease_minutes"))
HANDING_OUT = frozenset(("turn_order", "random_share", "repeat_share", "repeat_after_days", "gold_share"))


class CampaignShape(BaseModel):
    """A campaign and its rules."""

    id: int
    name: str
    k: int = Field(description="Responses a turn")
    ties_allowed: bool
    priority_rule: PriorityRule
    rewrite_template: str
    lease_minutes: int
    open: bool = Field(description="Whether new turns are given out")
    review_policy: ReviewPolicy
    review_distance: int = Field(description="Contested pairs that stay unreviewed under the policy of a distance")
    audit_share: float = Field(description="Share of agreed turns that are audited")
    turn_order: TurnOrder
    random_share: float = Field(description="Share drawn at random where the most informative come first")
    repeat_share: float = Field(description="Share of turns that come again to the same person")
    repeat_after_days: int
    gold_share: float = Field(description="Share of gold turns among those handed out")
    created_at: datetime
    guideline: GuidelineShape


class NewCampaign(Given):
    """A campaign to create."""

    name: Words = Field(min_length=1, max_length=128, examples=["儿科试点"])
    k: int = Field(4, ge=2, le=5)
    ties_allowed: bool = True
    priority_rule: PriorityRule = PriorityRule.ENFORCE
    guideline: Words = Field("", max_length=LONGEST_TEXT)
    rewrite_template: Words = Field("", max_length=LONGEST_TEXT)
    user_ids: list[int] = Field([], max_length=10_000, description="Who ranks in it; nobody is given turns until said")


class CampaignChange(Given):
    """What is to change; what is left out stays. K stays, for the responses are there."""

    name: Words | None = Field(None, min_length=1, max_length=128)
    ties_allowed: bool | None = None
    priority_rule: PriorityRule | None = None
    rewrite_template: Words | None = Field(None, max_length=LONGEST_TEXT)
    lease_minutes: int | None = Field(None, ge=5, le=1440)
    open: bool | None = None
    turn_order: TurnOrder | None = None
    random_share: float | None = Field(None, ge=0, le=1)
    repeat_share: float | None = Field(None, ge=0, le=1)
    repeat_after_days: int | None = Field(None, ge=0, le=365)
    gold_share: float | None = Field(None, ge=0, le=1)
    guideline: Words | None = Field(None, max_length=LONGEST_TEXT, description="A text that differs is a new version")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(N_("Name at least one thing to change."))
        return self


class Members(Given):
    """Who ranks in a campaign."""

    user_ids: list[int] = Field(max_length=10_000)


class Member(BaseModel):
    """Somebody who ranks in a campaign."""

    id: int
    login: str
    name: str
    state: str
    most_a_day: int | None = Field(description="How many turns they may rank a day; null: no limit")
    most_in_all: int | None


class ProgressShape(BaseModel):
    """How far a campaign is."""

    turns: int = Field(description="All but the withdrawn ones")
    by_state: dict[TurnState, int]
    rankings: int
    rankings_today: int


class AttentionShape(BaseModel):
    """What waits for somebody in a campaign, beside the turns of `progress`."""

    oldest: datetime | None = Field(description="Since when the contested turn waits that has waited longest")
    doubts: int = Field(description="Doubts about the guideline that nobody has answered")
    handed_back: int = Field(description="Turns that were handed back twice as not to be judged")
    late: int = Field(description="Rankings of the last seven days that came late and settle nothing")


class ChoiceShape(BaseModel):
    """Which responses of a turn were drawn, where a row offered more than K."""

    dialogue: str
    kept: list[int] = Field(description="From 1, as they stand in the file")
    offered: int


class ImportReport(BaseModel):
    """What an import did."""

    format: str
    dialogues: int = Field(description="Dialogues added")
    turns: int = Field(description="Turns added")
    waiting: int = Field(description="Turns added that wait for responses")
    safety: int = Field(description="Safety questions added")
    known: int = Field(description="Dialogues that were there already")
    completed: int = Field(description="Turns that had waited for these responses")
    repeated: list[int] = Field(description="Lines that repeat an earlier row")
    choices: list[ChoiceShape] = Field(description="What was drawn, by the seed, from rows with more responses than K")
    skipped: list[RowProblem] = Field(description="Rows that were left out, as asked")


@router.get("/campaigns")
def list_campaigns(_user: Admin, session: Reading, cursor: Cursor = None, limit: Limit = 50) -> Page[CampaignShape]:
    """Every campaign, newest first."""
    rows = listing.campaigns(session, number_in(cursor), limit + 1)
    return page_of(rows, limit, lambda row: _shown(session, row), lambda row: (row.id,))


@router.post("/campaigns", status_code=201)
def create_campaign(user: Admin, session: Writing, given: NewCampaign) -> CampaignShape:
    """Create a campaign."""
    _require_annotators(session, given.user_ids)
    created = campaigns.create(
        session,
        given.name.strip(),
        k=given.k,
        ties_allowed=given.ties_allowed,
        priority_rule=given.priority_rule,
        guideline=given.guideline.strip(),
        rewrite_template=given.rewrite_template.strip(),
        members=given.user_ids,
        actor_id=user.id,
    )
    return _shown(session, created)


@router.get("/campaigns/{campaign_id}")
def get_campaign(campaign: CampaignSeen, session: Reading) -> CampaignShape:
    """One campaign."""
    return _shown(session, campaign)


@router.patch("/campaigns/{campaign_id}")
def change_campaign(user: Admin, campaign: CampaignChanged, session: Writing, given: CampaignChange) -> CampaignShape:
    """Change rules or guideline from now on; what was ranked before stays as it is."""
    told = given.model_dump(exclude_none=True)
    if given.name is not None:
        told["name"] = given.name.strip()
    if told.keys() & {*RULES, "open"}:
        is_open = told.get("open", campaign.open)
        campaigns.change_rules(session, campaign, is_open=is_open, actor_id=user.id, **_those(RULES, campaign, told))
    if told.keys() & HANDING_OUT:
        campaigns.change_handing_out(session, campaign, actor_id=user.id, **_those(HANDING_OUT, campaign, told))
    if given.guideline is not None:
        campaigns.revise_guideline(session, campaign, given.guideline.strip().replace("\r\n", "\n"), actor_id=user.id)
    session.flush()
    return _shown(session, campaign)


@router.get("/campaigns/{campaign_id}/members")
def list_members(campaign: CampaignSeen, session: Reading) -> list[Member]:
    """Who ranks in a campaign, by name."""
    return [_member(each) for each in campaigns.memberships(session, campaign.id)]


@router.put("/campaigns/{campaign_id}/members")
def put_members(user: Admin, campaign: CampaignChanged, session: Writing, given: Members) -> list[Member]:
    """Say who ranks in a campaign: all of them."""
    _require_annotators(session, given.user_ids)
    campaigns.set_members(session, campaign, set(given.user_ids), actor_id=user.id)
    session.flush()
    return [_member(each) for each in campaigns.memberships(session, campaign.id)]


@router.get("/campaigns/{campaign_id}/progress")
def get_progress(campaign: CampaignSeen, session: Reading) -> ProgressShape:
    """How far a campaign is."""
    found = campaigns.progress(session, campaign.id)
    return ProgressShape(
        turns=found.turns,
        by_state=found.by_state,
        rankings=found.rankings,
        rankings_today=found.rankings_today,
    )


@router.get("/campaigns/{campaign_id}/attention")
def get_attention(campaign: CampaignSeen, session: Reading) -> AttentionShape:
    """What of a campaign wants somebody's attention."""
    found = attention.waiting(session, campaign.id)
    return AttentionShape(**{name: getattr(found, name) for name in AttentionShape.model_fields})


async def file_sent(request: Request) -> bytes:
    """The body as it came; read before the handler, which runs in a thread."""
    return await request.body()


FILE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The file itself, in one of the formats of docs/formats.md",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/campaigns/{campaign_id}/dialogues", openapi_extra=FILE_BODY)
def import_dialogues(
    request: Request,
    user: Admin,
    campaign: CampaignSeen,
    database: Data,
    data: Annotated[bytes, Depends(file_sent)],
    source: Annotated[Words, Query(max_length=256, description="What the file is called")] = "api",
    seed: Annotated[int, Query(ge=0, le=2**63 - 1, description="Draws K responses where there are more")] = 0,
    skip: Annotated[bool, Query(description="Leave out the rows that do not fit")] = False,
) -> ImportReport:
    """Import a file of dialogues: all of it, or nothing and a report of every row that does not fit."""
    reading = read_file(data, k=campaign.k, seed=seed)
    if reading.problems and not skip:
        raise ProblemError(422, NOTHING_IMPORTED, errors=[in_row(request, each) for each in reading.problems])
    with database.writing() as session:
        found = campaigns.get(session, campaign.id)
        done = imports.add(session, found, reading.dialogues, source=source, actor_id=user.id)
    if done.problems:
        raise ProblemError(409, CONTRADICTED, errors=[in_row(request, each) for each in done.problems])
    return ImportReport(
        format=reading.format,
        dialogues=done.dialogues,
        turns=done.turns,
        waiting=done.waiting,
        safety=done.safety,
        known=done.known,
        completed=done.completed,
        repeated=reading.repeated,
        choices=[ChoiceShape(dialogue=c.dialogue, kept=list(c.kept), offered=c.offered) for c in reading.choices],
        skipped=[_left_out(request, each) for each in reading.problems],
    )


def _shown(session: Reading, campaign: Campaign) -> CampaignShape:
    guideline = campaigns.guideline(session, campaign.id)
    names = set(CampaignShape.model_fields) - {"guideline"}
    return CampaignShape(
        **{name: getattr(campaign, name) for name in names},
        guideline=show_guideline(guideline),
    )


def _require_annotators(session: Session, user_ids: Collection[int]) -> None:
    annotators = {each.id for each in people.everybody(session) if each.role is Role.ANNOTATOR}
    if strangers := set(user_ids) - annotators:
        raise Invalid("Only annotators can be members, and these are none: {ids}.", ids=sorted(strangers))


def _those(names: Collection[str], campaign: Campaign, told: Mapping[str, Any]) -> dict[str, Any]:
    """Of these settings what is told, else what is there."""
    return {name: told.get(name, getattr(campaign, name)) for name in names}


def _member(membership: Membership) -> Member:
    names, user = ("id", "login", "name", "state"), membership.user
    most = {"most_a_day": membership.most_a_day, "most_in_all": membership.most_in_all}
    return Member(**{name: getattr(user, name) for name in names}, **most)


def _left_out(request: Request, found: Problem) -> RowProblem:
    told = in_row(request, found)
    return RowProblem(where=told.where, message=told.message)


def in_row(request: Request, found: Problem) -> FieldProblem:
    """What is wrong with a row of a file, in the language of the request."""
    return FieldProblem(where=f"line {found.line}, {found.where}", message=rows.in_words(language(request), found))
