"""Pages that stay open and ask by themselves, every few seconds, whether what they show is still so."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from annotation.people_tables import Role, User
from annotation.refusals import Missing
from annotation.store import people
from app.deps import LoginRequiredError, database_of, token_of

REST = 10.0
"""While figures change all the time, those that took a second rest for ten."""


def watching_admin(request: Request) -> User:
    """An admin who left a page open: that it asks is no sign of them, so that their login ends as if it did not."""
    with database_of(request).glancing() as session:
        found = people.logged_in(session, token_of(request))
    if found is None:
        raise LoginRequiredError
    if found.user.role is not Role.ADMIN:
        raise Missing("This page does not exist.")
    request.state.user = found.user
    return found.user


Watching = Annotated[User, Depends(watching_admin)]
Mark = Annotated[str, Query(max_length=64)]
"""The mark of what the page shows; empty where it shows nothing yet."""
