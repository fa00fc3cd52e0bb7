"""Passwords are kept as Argon2id hashes, at the cost that OWASP names as the minimum."""

from __future__ import annotations

from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.words import N_

SHORTEST, LONGEST = 8, 200
GUESSES = """
12345678 123456789 1234567890 password password1 qwertyui qwerty123 iloveyou 11111111 00000000 abc12345 zhongjing
zhongjing1 zhongjing123 abcd1234 a1234567 88888888 66666666 asdfghjk 1q2w3e4r 5201314a woaini1314
"""
FIRST_GUESSES = frozenset(GUESSES.split())

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_at_once = BoundedSemaphore(4)  # each takes 19 MiB and a core


def hash_password(password: str) -> str:
    """The hash to keep."""
    with _at_once:
        return _hasher.hash(password)


_nobody = hash_password("nobody has this password")


def password_matches(password: str, kept: str | None) -> bool:
    """Whether this is the password; takes as long where there is none, so that time does not tell."""
    with _at_once:
        try:
            return _hasher.verify(kept or _nobody, password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def outdated(kept: str) -> bool:
    """Whether the hash was made at another cost and should be made anew at the next login."""
    return _hasher.check_needs_rehash(kept)


def weakness(password: str, *context: str) -> str | None:
    """Why a password is refused, as a sentence to show; None if it is good enough."""
    if len(password) < SHORTEST:
        return N_("The password is too short: take at least 8 characters.")
    if len(password) > LONGEST:
        return N_("The password is too long: take at most 200 characters.")
    lowered = password.lower()
    if lowered in FIRST_GUESSES or len(set(password)) < 4 or any(word and lowered == word.lower() for word in context):
        return N_("This password is among the first that anybody would try: choose another.")
    return None
