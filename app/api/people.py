"""People, for the admin's programs: invited, reset, paused, deactivated; and the record of who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from annotation.people_tables import Role, User, UserState
from annotation.refusals import Invalid
from annotation.store import listing, people
from annotation.tables import AuditEvent
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.api.shapes import Given, Words
from app.deps import Admin, Reading, WebSettings, Writing
from app.words import N_

router = APIRouter(tags=["people"])


class Person(BaseModel):
    """Somebody who works here."""

    id: int
    login: str
    name: str
    role: Role
    may_adjudicate: bool
    state: UserState
    simulated: bool
    created_at: datetime


class NewPerson(Given):
    """Somebody to invite."""

    login: Words = Field(min_length=1, max_length=64, pattern=r"^\S+$", examples=["zhou"])
    name: Words = Field(min_length=1, max_length=128, examples=["周静"])
    role: Role
    may_adjudicate: bool = Field(False, description="An annotator who may also adjudicate turns that are not their own")


class Invited(BaseModel):
    """Somebody with the link under which they choose a password: it works once, and is told once."""

    person: Person
    link: str


class PersonChange(Given):
    """What is to change; what is left out stays."""

    state: UserState | None = Field(None, description="active, paused or deactivated")
    may_adjudicate: bool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.state is None and self.may_adjudicate is None:
            raise ValueError(N_("Name at least one thing to change."))
        if self.state is UserState.INVITED:
            raise ValueError(N_("Nobody is put back to invited so: send them a new invitation."))
        return self


class EventShape(BaseModel):
    """Something that was done."""

    id: int
    at: datetime
    actor_id: int | None = Field(description="Who did it; null: the system")
    action: str
    subject: str
    detail: dict[str, Any]


@router.get("/people")
def list_people(_user: Admin, session: Reading, cursor: Cursor = None, limit: Limit = 50) -> Page[Person]:
    """Everybody, those who came last first."""
    rows = listing.people(session, number_in(cursor), limit + 1)
    return page_of(rows, limit, _shown, lambda row: (row.id,))


@router.post("/people", status_code=201)
def invite(user: Admin, session: Writing, settings: WebSettings, given: NewPerson) -> Invited:
    """Invite somebody; the answer holds the link under which they choose a password."""
    if not given.name.strip():
        raise Invalid("A person needs a name, and a login without spaces.")
    right = given.may_adjudicate
    added = people.add(session, given.login, given.name, given.role, may_adjudicate=right, actor_id=user.id)
    return _invited(session, settings, added, user)


@router.get("/people/{user_id}")
def get_person(user_id: int, _user: Admin, session: Reading) -> Person:
    """One person."""
    return _shown(people.get(session, user_id))


@router.patch("/people/{user_id}")
def change_person(user_id: int, user: Admin, session: Writing, given: PersonChange) -> Person:
    """Pause, reactivate or deactivate somebody, or change whether they may adjudicate."""
    found = people.get(session, user_id)
    if given.may_adjudicate is not None:
        people.set_right(session, found, may_adjudicate=given.may_adjudicate, actor_id=user.id)
    if given.state is not None:
        people.set_state(session, found, given.state, actor_id=user.id)
    return _shown(found)


@router.post("/people/{user_id}/invitation")
def invite_again(user_id: int, user: Admin, session: Writing, settings: WebSettings) -> Invited:
    """End the password, every login and every token of somebody, and give a new link."""
    return _invited(session, settings, people.get(session, user_id), user)


@router.get("/audit")
def list_events(_user: Admin, session: Reading, cursor: Cursor = None, limit: Limit = 50) -> Page[EventShape]:
    """Who did what, newest first."""
    rows = listing.events(session, number_in(cursor), limit + 1)
    return page_of(rows, limit, _event, lambda row: (row.id,))


def _invited(session: Writing, settings: WebSettings, invited: User, actor: User) -> Invited:
    code = people.invite(session, invited, actor_id=actor.id)
    return Invited(person=_shown(invited), link=f"{settings.public_url}/invitation/{code}")


def _shown(user: User) -> Person:
    return Person(**{name: getattr(user, name) for name in Person.model_fields})


def _event(event: AuditEvent) -> EventShape:
    return EventShape(**{name: getattr(event, name) for name in EventShape.model_fields})
