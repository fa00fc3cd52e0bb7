"""What the rules refuse, said so that the person at the screen knows what to do instead."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  (it is an answer, not an error of the program)
    """Something that cannot be done as asked. ``message`` is an English sentence with {places} for ``parts``.

    The face translates ``message`` and then fills it in, so sentences stay whole in every language.
    """

    def __init__(self, message: str, **parts: object) -> None:
        """Takes the sentence and what its places stand for."""
        super().__init__(message.format(**parts))
        self.message = message
        self.parts = parts


class Missing(Refused):
    """It is not there, or not theirs: to them that is the same."""


class Conflict(Refused):
    """Somebody or something else was first; what they did is kept."""


class Invalid(Refused):
    """What was sent does not fit the rules."""
