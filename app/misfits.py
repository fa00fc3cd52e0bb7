"""What does not fit a field, in sentences of ours that say what was expected there.

Pydantic finds it and names its kind, which programs may go by; its English is for whoever writes the program. The API
and the form of a run say it alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.words import N_, WORDS
from rlhf.config import ConfigError

Say = Callable[..., str]

MISSING = N_("This is required: add it.")
UNKNOWN = N_("There is no such field here: leave it out, or look up its name at /api.")
TEXT = N_("A text was expected.")
WHOLE = N_("A whole number was expected.")
NUMBER = N_("A number was expected.")
YES_OR_NO = N_("true or false was expected.")
LISTED = N_("A list was expected.")
OBJECT = N_("An object with named fields was expected.")
NO_JSON_SENT = N_("An object in JSON was expected: send one, with the header Content-Type: application/json.")
DAY = N_("A day was expected, such as 2026-11-21.")
LARGER = N_("A number above {gt} was expected.")
AT_LEAST = N_("A number of {ge} or more was expected.")
SMALLER = N_("A number below {lt} was expected.")
AT_MOST = N_("A number of {le} or less was expected.")
TOO_LONG = N_("At most {max_length} characters were expected.")
TOO_SHORT = N_("{min_length} or more characters were expected.")
TOO_MANY = N_("At most {max_length} entries were expected.")
TOO_FEW = N_("{min_length} or more entries were expected.")
CHOICE = N_("One of these was expected: {expected}.")
NO_KIND = N_("It has to say of which kind it is, in the field {name}.")
WRONG_KIND = N_("In the field {name}, one of these was expected: {expected}.")
FORM = N_("A text of this form was expected: {pattern}.")
MALFORMED = N_("This is no JSON: at character {place}, {what}.")
NO_TEXT_AT_ALL = N_("This is no JSON: it was expected in UTF-8, and not nested deeply.")
UNREADABLE = N_("it cannot be read")
OTHER = N_("This value does not fit: its field is described at /api.")

SENTENCES = {
    "missing": MISSING,
    "extra_forbidden": UNKNOWN,
    "string_type": TEXT,
    "int_type": WHOLE,
    "int_parsing": WHOLE,
    "int_parsing_size": WHOLE,
    "int_from_float": WHOLE,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "finite_number": NUMBER,
    "bool_type": YES_OR_NO,
    "bool_parsing": YES_OR_NO,
    "list_type": LISTED,
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "date_type": DAY,
    "date_from_datetime_parsing": DAY,
    "date_from_datetime_inexact": DAY,
    "greater_than": LARGER,
    "greater_than_equal": AT_LEAST,
    "less_than": SMALLER,
    "less_than_equal": AT_MOST,
    "string_too_long": TOO_LONG,
    "string_too_short": TOO_SHORT,
    "too_long": TOO_MANY,
    "too_short": TOO_FEW,
    "string_pattern_mismatch": FORM,
}


def sentence(say: Say, error: Mapping[str, Any]) -> str:
    """What an error of pydantic says to whoever has to mend it; ``say`` knows the language."""
    kind, parts = error["type"], dict(error.get("ctx", {}))
    message = SENTENCES.get(kind, OTHER)
    match kind:
        case "value_error":  # one of our own models objects
            message, parts = error["msg"].removeprefix("Value error, "), {}
        case "json_invalid":
            message, parts = MALFORMED, _malformed(say, error)
        case "enum" | "literal_error":
            message, parts = CHOICE, {"expected": _named(parts["expected"])}
        case "union_tag_not_found":
            message, parts = NO_KIND, {"name": _named(parts["discriminator"])}
        case "union_tag_invalid":
            names = {"name": _named(parts["discriminator"]), "expected": _named(parts["expected_tags"])}
            message, parts = WRONG_KIND, names
        case "model_attributes_type" if isinstance(error["input"], bytes):
            message = NO_JSON_SENT
    return say(message, **{name: _short(part) for name, part in parts.items()})


def unfit(refusal: ConfigError) -> Sequence[Mapping[str, Any]]:
    """What does not fit in the settings of a run, setting by setting."""
    assert isinstance(refusal.__cause__, ValidationError)
    return refusal.__cause__.errors()


def _short(part: Any) -> Any:
    """A bound as one writes it: of a field of whole numbers too, pydantic may keep it as a float."""
    return f"{part:g}" if isinstance(part, float) else part


def _malformed(say: Say, error: Mapping[str, Any]) -> dict[str, Any]:
    reason = str(error.get("ctx", {}).get("error", ""))
    return {"place": error["loc"][-1] + 1, "what": say(WORDS.get(reason, UNREADABLE))}


def _named(quoted: str) -> str:
    """The names in what pydantic lists as ``'a', 'b' or 'c'``."""
    return ", ".join(re.findall(r"'([^']*)'", quoted)) or quoted
