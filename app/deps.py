"""What handlers ask for: a transaction, who is asking, and things that are theirs to see."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from ipaddress import IPv6Address, ip_address
from typing import Annotated, cast

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from annotation.db import Database, utcnow
from annotation.people_tables import Role, User
from annotation.refusals import Invalid, Missing
from annotation.review_tables import Adjudication
from annotation.run_tables import Run, Snapshot
from annotation.store import campaigns, hooks, people, rankings, reviews, runs, snapshots
from annotation.tables import Assignment, Campaign
from app.lane import InLane
from app.settings import Settings
from workers.launchers import config
from workers.launchers.config import AnyTable, LaunchersError

NO_TEXT = re.compile("[\0\ud800-\udfff]")


class LoginRequiredError(Exception):
    """Nobody is logged in."""


def settings_of(request: Request) -> Settings:
    """The settings of this web."""
    found: Settings = request.app.state.settings
    return found


def database_of(request: Request) -> Database:
    """The database of this web."""
    found: Database = request.app.state.database
    return found


async def reading(request: Request) -> AsyncIterator[Session]:
    """A transaction that only looks."""
    async with _ended_in_a_thread(database_of(request).reading()) as session:
        yield session


async def writing(request: Request) -> AsyncIterator[Session]:
    """A transaction that is committed before the answer leaves."""
    async with _ended_in_a_thread(database_of(request).writing()) as session:
        yield session
    if session.info.get(hooks.TOLD):
        request.app.state.bell.ring()


@asynccontextmanager
async def _ended_in_a_thread(transaction: AbstractContextManager[Session]) -> AsyncIterator[Session]:
    """A transaction begins with its first statement, so only its end waits for the database.

    The end needs no place among the threads that run handlers: else handlers that wait for a connection might hold
    all of them, and nobody could give one back. It comes even to a request that was given up.
    """
    session = transaction.__enter__()
    try:
        yield session
    except BaseException as error:
        with CancelScope(shield=True):
            await run_sync(transaction.__exit__, type(error), error, error.__traceback__, limiter=CapacityLimiter(1))
        raise
    with CancelScope(shield=True):
        await run_sync(transaction.__exit__, None, None, None, limiter=CapacityLimiter(1))


async def submitted_form(request: Request) -> FormData:
    """The form of a request; read before the handler, which runs in a thread. Raises Invalid for what is no text."""
    form = await request.form()
    if not all(is_text(value) for pair in form.multi_items() for value in pair if isinstance(value, str)):
        raise Invalid("The form holds characters that are no text: remove them.")
    return form


def is_text(value: str) -> bool:
    """Whether every database can keep it: PostgreSQL refuses NUL, and nothing writes half a character."""
    return NO_TEXT.search(value) is None


Reading = Annotated[Session, Depends(reading, scope="function")]
Writing = Annotated[Session, Depends(writing, scope="function")]


async def the_settings(request: Request) -> Settings:
    """``settings_of`` as a dependency: what waits for nothing runs without the detour through a thread."""
    return settings_of(request)


async def the_database(request: Request) -> Database:
    """``database_of`` as a dependency."""
    return database_of(request)


def the_launchers(request: Request) -> Mapping[str, AnyTable]:
    """What may carry a run, by name, as the operator has it now; raises Invalid where that cannot be read."""
    try:
        return config.read(settings_of(request).launchers)
    except LaunchersError as error:
        raise Invalid("The launchers cannot be read: {why}", why=str(error)) from error


WebSettings = Annotated[Settings, Depends(the_settings)]
Launchers = Annotated[Mapping[str, AnyTable], Depends(the_launchers)]
Data = Annotated[Database, Depends(the_database)]
SubmittedForm = Annotated[FormData, Depends(submitted_form)]


def token_of(request: Request) -> str:
    """The login token that the browser sent, or nothing."""
    return request.cookies.get(settings_of(request).cookie, "")


def address_of(request: Request) -> str:
    """Where a request comes from. Whoever has an IPv6 address has 2**64 of them: they count as one."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(getattr(address, "ipv4_mapped", None) or address)


def current_user(request: Request) -> User:
    """Who is logged in; raises LoginRequiredError. The API knows people by another proof."""
    if (identify := getattr(request.app.state, "identify", None)) is not None:
        return cast(User, identify(request))
    token = token_of(request)
    with database_of(request).glancing() as session:
        found = people.logged_in(session, token) if token else None
    if found is None:
        raise LoginRequiredError
    if found.seen_at + people.SEEN_EVERY < utcnow():
        with database_of(request).writing() as noting:
            people.seen(noting, token)
    request.state.user = found.user
    return found.user


CurrentUser = Annotated[User, Depends(current_user)]


async def annotator(_lane: InLane, user: CurrentUser) -> User:
    """Who ranks, when it is their turn; to others these pages do not exist."""
    if user.role is not Role.ANNOTATOR:
        raise Missing("This page does not exist.")
    return user


async def adjudicator(_lane: InLane, user: CurrentUser) -> User:
    """Who may work through the review queue, when it is their turn."""
    if not user.adjudicates:
        raise Missing("This page does not exist.")
    return user


async def admin(user: CurrentUser) -> User:
    """Who administers."""
    if user.role is not Role.ADMIN:
        raise Missing("This page does not exist.")
    return user


Annotator = Annotated[User, Depends(annotator)]
Adjudicator = Annotated[User, Depends(adjudicator)]
Admin = Annotated[User, Depends(admin)]


def own_assignment(assignment_id: int, user: Annotator, session: Writing) -> Assignment:
    """The assignment, if it is theirs, to work on."""
    return rankings.own_assignment(session, user, assignment_id, texts=False)


def seen_assignment(assignment_id: int, user: Annotator, session: Reading) -> Assignment:
    """The assignment, if it is theirs, to look at."""
    return rankings.own_assignment(session, user, assignment_id)


def seen_review(review_id: int, user: Adjudicator, session: Reading) -> Adjudication:
    """The review, if it is theirs, to look at."""
    return reviews.own_review(session, user, review_id)


def own_review(review_id: int, user: Adjudicator, session: Writing) -> Adjudication:
    """The review, if it is theirs, to work on."""
    return reviews.own_review(session, user, review_id)


def campaign_ranked_in(campaign_id: int, user: Annotator, database: Data) -> Campaign:
    """A campaign, if they rank in it: the name of another is none of their business."""
    with database.glancing() as session:
        return campaigns.ranked_in(session, user.id, campaign_id)


def campaign_seen(campaign_id: int, _user: Admin, session: Reading) -> Campaign:
    """A campaign, for the admin to look at."""
    return campaigns.get(session, campaign_id)


def campaign_changed(campaign_id: int, _user: Admin, session: Writing) -> Campaign:
    """A campaign, for the admin to change."""
    return campaigns.get(session, campaign_id)


def run_seen(run_id: int, _user: Admin, session: Reading) -> Run:
    """A run, for the admin to look at."""
    return runs.get(session, run_id)


def snapshot_seen(snapshot_id: int, _user: Admin, session: Reading) -> Snapshot:
    """A snapshot, for the admin to look at."""
    return snapshots.get(session, snapshot_id)


OwnAssignment = Annotated[Assignment, Depends(own_assignment)]
SeenAssignment = Annotated[Assignment, Depends(seen_assignment)]
SeenReview = Annotated[Adjudication, Depends(seen_review)]
OwnReview = Annotated[Adjudication, Depends(own_review)]
CampaignRankedIn = Annotated[Campaign, Depends(campaign_ranked_in)]
CampaignSeen = Annotated[Campaign, Depends(campaign_seen)]
CampaignChanged = Annotated[Campaign, Depends(campaign_changed)]
RunSeen = Annotated[Run, Depends(run_seen)]
SnapshotSeen = Annotated[Snapshot, Depends(snapshot_seen)]
