"""People: invited, reset, paused, deactivated."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.people_tables import Role, User, UserState
from annotation.refusals import Invalid
from annotation.store import people
from app.deps import Admin, Reading, Writing, settings_of
from app.render import page

router = APIRouter(prefix="/admin/users")


@router.get("")
def list_users(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """Everybody."""
    return page(request, "admin/users.html", people=people.everybody(session), invitation=None, invited=None)


@router.post("")
def invite(
    request: Request,
    user: Admin,
    session: Writing,
    login: Annotated[str, Form(max_length=64)],
    name: Annotated[str, Form(max_length=128)],
    role: Annotated[Role, Form()],
    may_adjudicate: Annotated[bool, Form()] = False,
) -> HTMLResponse:
    """Adds somebody and shows the link with which they choose a password."""
    if not login.strip() or not name.strip() or any(sign.isspace() for sign in login.strip()):
        raise Invalid("A person needs a name, and a login without spaces.")
    added = people.add(session, login, name, role, may_adjudicate=may_adjudicate, actor_id=user.id)
    return _with_link(request, session, added, people.invite(session, added, actor_id=user.id))


@router.post("/{user_id}/reset")
def reset(request: Request, user_id: int, user: Admin, session: Writing) -> HTMLResponse:
    """Ends the password and every login of somebody, and shows a new link."""
    found = people.get(session, user_id)
    return _with_link(request, session, found, people.invite(session, found, actor_id=user.id))


@router.post("/{user_id}/state")
def set_state(user_id: int, user: Admin, session: Writing, state: Annotated[UserState, Form()]) -> Response:
    """Pauses, reactivates or deactivates somebody."""
    people.set_state(session, people.get(session, user_id), state, actor_id=user.id)
    return RedirectResponse("/admin/users", status_code=303)


@router.post("/{user_id}/right")
def set_right(user_id: int, user: Admin, session: Writing, may_adjudicate: Annotated[bool, Form()] = False) -> Response:
    """Lets an annotator adjudicate turns that are not their own, or no longer."""
    people.set_right(session, people.get(session, user_id), may_adjudicate=may_adjudicate, actor_id=user.id)
    return RedirectResponse("/admin/users", status_code=303)


def _with_link(request: Request, session: Writing, invited: User, code: str) -> HTMLResponse:
    session.flush()
    link = f"{settings_of(request).public_url}/invitation/{code}"  # the Host header says whatever its sender likes
    return page(
        request,
        "admin/users.html",
        people=people.everybody(session),
        invitation=link,
        invited=invited,
    )
