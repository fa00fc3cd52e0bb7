"""What does not fit is said field by field in sentences of ours, in the language of the program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.testclient import TestClient

from app import misfits
from app.api.main import ROUTERS
from app.i18n import translate
from rlhf.config import CONFIGS
from tests.api.conftest import ORDER, Program, reserve
from tests.api.test_access import is_problem
from tests.conftest import Cast

CAMPAIGNS = "/api/v1/campaigns"
JSON = {"content-type": "application/json"}
LONG: tuple[Any, ...] = ("x" * 250_000, "9" * 5_000, ["x"] * 20_000)
NONSENSE: tuple[Any, ...] = (None, True, -1, 10**12, 1.5, float("nan"), "", "\0", "x y", [], ["", 1], {}, *LONG)


@pytest.fixture
def admin(program: Program, cast: Cast) -> TestClient:
    return program("sun")


def said(answer: Any) -> dict[str, tuple[str, str]]:
    """Each field that is listed, with the kind of its misfit and the sentence."""
    return {each["where"]: (each["type"], each["message"]) for each in is_problem(answer, 422)["errors"]}


def test_each_field_has_its_kind_its_path_and_a_sentence_that_says_what_was_expected(admin: TestClient) -> None:
    given = {"k": 9, "colour": 1, "priority_rule": "x", "ties_allowed": "perhaps", "user_ids": [1, "li"]}
    answer = admin.post(CAMPAIGNS, json=given)
    assert said(answer) == {
        "body.name": ("missing", "This is required: add it."),
        "body.k": ("less_than_equal", "A number of 5 or less was expected."),
        "body.colour": ("extra_forbidden", "There is no such field here: leave it out, or look up its name at /api."),
        "body.priority_rule": ("enum", "One of these was expected: enforce, warn."),
        "body.ties_allowed": ("bool_parsing", "true or false was expected."),
        "body.user_ids.1": ("int_parsing", "A whole number was expected."),
    }
    assert ["body", "user_ids", 1] in [each["loc"] for each in answer.json()["errors"]]
    assert said(admin.post(CAMPAIGNS, json={"name": ""}))["body.name"][1] == "1 or more characters were expected."
    assert (
        said(admin.get(CAMPAIGNS, params={"limit": 201}))["query.limit"][1] == "A number of 200 or less was expected."
    )


def test_the_same_is_said_in_chinese_to_a_program_that_accepts_it(admin: TestClient) -> None:
    chinese = {"accept-language": "zh-CN"}
    found = said(admin.post(CAMPAIGNS, json={"k": 9}, headers=chinese))
    assert found["body.name"] == ("missing", "此项必填：请补上。")
    assert found["body.k"] == ("less_than_equal", "应为不大于 5 的数。")
    path = f"{CAMPAIGNS}/1"
    admin.post(CAMPAIGNS, json={"name": "试点"})
    assert said(admin.patch(path, json={}, headers=chinese))["body"] == ("value_error", "请至少写出一项要更改的内容。")
    assert said(admin.post(CAMPAIGNS, content=b'{"name": }', headers={**JSON, **chinese})) == {
        "body.9": ("json_invalid", "这不是 JSON：第 10 个字符处，缺少一个值。")
    }


def test_a_language_that_is_not_ours_is_answered_in_english(admin: TestClient) -> None:
    for accepted in ("de-DE,de;q=0.9", "*"):
        found = said(admin.post(CAMPAIGNS, json={}, headers={"accept-language": accepted}))
        assert found["body.name"][1] == "This is required: add it."


@pytest.mark.parametrize(
    ("body", "headers", "kind", "begins"),
    [
        (b'{"name": "x",}', JSON, "json_invalid", "This is no JSON: at character"),
        (b"\x81{}", JSON, "json_invalid", "This is no JSON: it was expected in UTF-8"),
        (b'{"name": "x"}', {}, "model_attributes_type", "An object in JSON was expected: send one, with the header"),
        (b"[]", JSON, "model_attributes_type", "An object with named fields was expected."),
        (b"", JSON, "missing", "This is required: add it."),
    ],
)
def test_a_body_that_is_no_object_in_json_says_how_to_send_one(
    admin: TestClient, body: bytes, headers: dict[str, str], kind: str, begins: str
) -> None:
    [(found, sentence)] = said(admin.post(CAMPAIGNS, content=body, headers=headers)).values()
    assert found == kind
    assert sentence.startswith(begins)


def test_an_answer_of_no_kind_names_the_kinds_that_there_are() -> None:
    from app.api.review import Answer

    sentences = []
    for body in ({"version": 0}, {"kind": "x"}):
        with pytest.raises(ValidationError) as refused:
            TypeAdapter(Answer).validate_python(body)
        sentences += [misfits.sentence(english, each) for each in refused.value.errors()]
    assert sentences == [
        "It has to say of which kind it is, in the field kind.",
        "In the field kind, one of these was expected: outcome, pair, rewrite, unlock.",
    ]


def test_settings_of_a_run_that_cannot_be_are_listed_one_by_one(admin: TestClient) -> None:
    given = {"kind": "sft", "settings": {"epochs": 0, "batch_size": 6, "colour": 1}}
    assert said(admin.post("/api/v1/runs", json=given)) == {
        "body.settings.epochs": ("greater_than", "A number above 0 was expected."),
        "body.settings.colour": ("extra_forbidden", misfits.UNKNOWN),
    }
    both = said(admin.post("/api/v1/runs", json={"kind": "sft", "settings": {"batch_size": 6}}))
    assert both["body.settings"][1].startswith("batch_size must be a multiple")


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("sft", {"batch_size": 6}),
        ("pretrain", {"heads": 3}),
        ("ppo", {"rollout_size": 33}),
        ("score", {"flag_below": 2}),
    ],
)
def test_settings_that_do_not_go_together_are_refused_in_chinese_too(
    admin: TestClient, kind: str, changed: dict[str, Any]
) -> None:
    answer = admin.post("/api/v1/runs", json={"kind": kind, "settings": changed}, headers={"accept-language": "zh"})
    assert said(answer)["body.settings"][1].endswith("请更改其中之一。")


def test_a_bound_is_said_as_one_writes_it() -> None:
    for bound, written in ((0.0, "0"), (1000.0, "1000"), (0.05, "0.05"), (12, "12")):
        error = {"type": "greater_than", "ctx": {"gt": bound}}
        assert misfits.sentence(english, error) == f"A number above {written} was expected."


def test_a_mend_is_told_only_where_there_is_one(program: Program, imported: Any) -> None:
    client = program("li")
    path = f"/api/v1/assignments/{reserve(client, imported)['id']}/ranking"
    found = client.put(path, json={**ORDER, "key": "a-key-of-my-own-1", "groups": [["A"]]}).json()
    assert found.keys() == {"type", "title", "status", "detail", "errors"}


def english(message: str, **parts: object) -> str:
    return translate("en", message, **parts)


def chinese(message: str, **parts: object) -> str:
    return translate("zh", message, **parts)


def fields_of(needs: Dependant) -> list[Any]:
    """The parameters of the query and the body, those of dependencies too."""
    inner = [field for each in needs.dependencies for field in fields_of(each)]
    return [*needs.query_params, *needs.body_params, *inner]


def every_field() -> Iterator[tuple[str, TypeAdapter[Any]]]:
    """Every body and every parameter that an operation takes, and the settings of every run."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for field in fields_of(route.dependant):
                yield (
                    f"{route.name} {field.name}",
                    TypeAdapter(Annotated[field.field_info.annotation, field.field_info]),
                )
    for name, config in CONFIGS.items():
        yield name, TypeAdapter(config)


def tried(adapter: TypeAdapter[Any]) -> Iterator[Any]:
    """Values that hardly any field takes, by themselves and in the place of each of its fields."""
    yield from NONSENSE
    schema = adapter.json_schema()
    shapes = [schema, *schema.get("$defs", {}).values()]
    names = {name for shape in shapes for name in shape.get("properties", {})}
    kinds = {kind for shape in shapes for kind in [shape.get("properties", {}).get("kind", {}).get("const")] if kind}
    for value in NONSENSE:
        for kind in kinds or {None}:
            yield {**dict.fromkeys(names, value), **({"kind": kind} if kind else {})}


def test_no_sentence_of_pydantic_gets_out_in_either_language() -> None:
    kinds = set()
    for name, adapter in every_field():
        for value in tried(adapter):
            try:
                adapter.validate_python(value)
            except ValidationError as refused:
                for error in refused.errors():
                    kinds.add(error["type"])
                    told = misfits.sentence(english, error)  # type: ignore[arg-type]
                    assert told != misfits.OTHER, (name, error["type"])
                    assert error["type"] == "value_error" or error["msg"] not in told, (name, told)
                    told = misfits.sentence(chinese, error)  # type: ignore[arg-type]
                    assert re.search("[一-鿿]", told), (name, told)
    special = {"value_error", "enum", "literal_error", "union_tag_not_found"}
    assert kinds == special | misfits.SENTENCES.keys(), "every sentence is said of some field"
