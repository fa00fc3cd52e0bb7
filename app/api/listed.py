"""The API's description as a page lists it: by group, with every field in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.api.document import TAGS

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Type:
    """What a value is: words, and the names of schemas that are described further down."""

    words: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """A parameter or a field of an object."""

    name: str
    type: Type
    required: bool
    description: str


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked for."""

    name: str
    method: str
    path: str
    summary: str
    parameters: list[Field]
    body: Type | None
    answers: dict[str, Type]
    refusals: list[str]


@dataclass(frozen=True)
class Shape:
    """An object that is sent or answered, or a choice of values."""

    name: str
    description: str
    fields: list[Field]
    values: list[str]


def groups(document: Mapping[str, Any]) -> dict[str, list[Operation]]:
    """The operations of the document, by tag, in the order of the tags."""
    found: dict[str, list[Operation]] = {name: [] for name in TAGS}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            found[operation["tags"][0]].append(_operation(path, method, operation))
    return {name: operations for name, operations in found.items() if operations}


def shapes(document: Mapping[str, Any]) -> list[Shape]:
    """The objects and choices of the document, by name."""
    every = sorted(document["components"]["schemas"].items())
    return [Shape(name, s.get("description", ""), _fields(s), list(map(str, s.get("enum", [])))) for name, s in every]


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Operation:
    body = operation.get("requestBody")
    answers = {status: said for status, said in operation["responses"].items() if status < "300"}
    return Operation(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        parameters=[
            _field(p["name"], p["schema"], p.get("required", False), p) for p in operation.get("parameters", [])
        ],
        body=_content(body) if body else None,
        answers={status: _content(said) for status, said in answers.items()},
        refusals=[status for status in operation["responses"] if status not in answers],
    )


def _content(holder: Mapping[str, Any]) -> Type:
    for schema in (media.get("schema", {}) for media in holder.get("content", {}).values()):
        if schema:
            return type_of(schema)
    return Type("file" if holder.get("content") else "nothing")


def _fields(schema: Schema) -> list[Field]:
    required = schema.get("required", [])
    return [_field(name, each, name in required, each) for name, each in schema.get("properties", {}).items()]


def _field(name: str, schema: Schema, required: bool, told: Mapping[str, Any]) -> Field:
    return Field(name, type_of(schema), required, told.get("description", schema.get("description", "")))


def type_of(schema: Schema) -> Type:
    """A schema in words, such as ``list of integer 1–9``."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Type(name, (name,))
    for alternatives in ("anyOf", "oneOf"):
        if alternatives in schema:
            return _joined(" or ", map(type_of, schema[alternatives]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return Type(" | ".join(map(str, values)))
    if schema.get("type") == "array":
        parts = schema.get("prefixItems", [schema.get("items", {})])
        return _joined(", ", map(type_of, parts), "list of ")
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return _joined("", [type_of(inner)], "object of ") if isinstance(inner, Mapping) else Type("object")
    return Type(_plain(schema))


def _joined(between: str, types: Iterator[Type] | list[Type], before: str = "") -> Type:
    found = list(types)
    names = tuple(name for each in found for name in each.names)
    return Type(before + between.join(each.words for each in found), names)


def _plain(schema: Schema) -> str:
    words = str(schema.get("format", schema.get("type", "any")))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and high < 10**6:
        return f"{words} {low}–{high}"
    longest = schema.get("maxLength")
    return f"{words}, {longest} characters at most" if longest else words
