"""Files in the formats that exist, and every way in which a row may not fit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from annotation.formats.reading import read_file
from annotation.formats.rows import Choice
from tests.material import json_lines, own_row, turns_of

DATA = Path(__file__).parents[3] / "shared" / "data"
LABEL_TOOL: dict[str, dict[str, Any]] = {
    "0": {
        "query": "头痛怎么办？",
        "history": [["您好", "您好，请说。"]],
        **{f"response_{i}": f"回答{i}" for i in range(4)},
    },
    "1": {"query": "还要吃药吗？", "history": [], **{f"response_{i}": f"答复{i}" for i in range(4)}},
}
SAMPLING = "turns[0].responses[3].sampling"
MODEL = "turns[0].responses[3].model"
CMTMEDQA: list[dict[str, Any]] = [
    {
        "id": "j1",
        "cate1": "儿科",
        "instruction": "要去医院吗？",
        "input": "",
        "output": "先观察。",
        "history": [["孩子咳嗽", "几天了？"], ["三天", "发烧吗？"]],
    },
    {"instruct": "能把处方药给我邻居吗？", "output": "不可以。"},
]


def chat(*roles: str, responses: int = 4, **more: Any) -> dict[str, Any]:
    messages = [{"role": role, "content": f"{role} {i}"} for i, role in enumerate(roles)]
    return {"messages": messages, "responses": [f"回答{i}" for i in range(responses)], **more}


def json_lines_escaped(*rows: Any) -> bytes:
    """JSON lines in ASCII, which can say what no encoding can."""
    return "\n".join(json.dumps(row) for row in rows).encode()


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth > 1 else []


def test_the_own_format_carries_the_history_from_turn_to_turn() -> None:
    row = own_row()
    row["turns"][0]["reply"] = "回答0"
    row["turns"].append({"message": "还要多久？"})
    reading = read_file(json_lines(row), k=4)
    assert reading.problems == []
    first, second = turns_of(reading)
    assert (first.number, first.history, len(first.responses)) == (1, (), 4)
    assert (second.number, second.history, second.responses) == (2, (("孩子发烧怎么办？", "回答0"),), ())


@pytest.mark.parametrize("indent", [None, 1], ids=["one line", "pretty"])
def test_the_label_tools_json_is_read(indent: int | None) -> None:
    reading = read_file(json.dumps(LABEL_TOOL, ensure_ascii=False, indent=indent).encode(), k=4)
    assert (reading.format, reading.problems) == ("rlhf-label-tool", [])
    first, second = turns_of(reading)
    assert (first.message, first.history, first.number) == ("头痛怎么办？", (("您好", "您好，请说。"),), 2)
    assert [r.text for r in second.responses] == [f"答复{i}" for i in range(4)]


def test_a_dialogue_of_the_fine_tuning_data_is_cut_into_its_turns() -> None:
    reading = read_file(json.dumps(CMTMEDQA, ensure_ascii=False).encode(), k=4)
    assert (reading.format, reading.problems) == ("cmtmedqa", [])
    dialogue, safety = reading.dialogues
    assert [(t.number, t.message, t.reply) for t in dialogue.turns] == [
        (1, "孩子咳嗽", "几天了？"),
        (2, "三天", "发烧吗？"),
        (3, "要去医院吗？", "先观察。"),
    ]
    assert dialogue.turns[2].history == (("孩子咳嗽", "几天了？"), ("三天", "发烧吗？"))
    assert (dialogue.department, safety.department) == ("儿科", "")
    assert [t.safety for t in safety.turns] == [True]


def test_of_more_than_k_responses_k_are_drawn_with_the_seed_and_named() -> None:
    row = chat("user", responses=6, id="x")
    first, again, other = (read_file(json_lines(row), k=4, seed=seed) for seed in (1, 1, 2))
    assert first.choices == again.choices != other.choices
    [chosen] = first.choices
    assert (chosen.dialogue, chosen.offered, len(chosen.kept)) == ("x", 6, 4)
    assert [r.text for t in turns_of(first) for r in t.responses] == [f"回答{i - 1}" for i in chosen.kept]
    assert isinstance(chosen, Choice)


def test_exactly_k_responses_are_no_choice() -> None:
    reading = read_file(json_lines(chat("user")), k=4)
    assert (reading.problems, reading.choices) == ([], [])


def test_a_system_message_and_earlier_exchanges_are_kept() -> None:
    reading = read_file(json_lines(chat("system", "user", "assistant", "user")), k=4)
    [dialogue] = reading.dialogues
    assert dialogue.system == "system 0"
    assert dialogue.turns[0].history == (("user 1", "assistant 2"),)
    assert dialogue.turns[0].message == "user 3"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_files_in_utf_8_and_gb18030_are_read(encoding: str) -> None:
    text = json.dumps(own_row(message="孩子发烧怎么办？"), ensure_ascii=False)
    [dialogue] = read_file(text.encode(encoding), k=4).dialogues
    assert dialogue.turns[0].message == "孩子发烧怎么办？"


def test_windows_line_ends_are_read() -> None:
    data = json_lines(own_row("a"), own_row("b")).replace(b"\n", b"\r\n")
    assert len(read_file(data, k=4).dialogues) == 2


def broken(**changes: Any) -> dict[str, Any]:
    row = own_row("broken")
    row["turns"][0] |= changes
    return row


@pytest.mark.parametrize(
    ("row", "where", "expected"),
    [
        ({"id": "x", "turns": []}, "turns", "at least one turn"),
        ({"id": "x", "turns": "none"}, "turns", "a list was expected"),
        ({"id": "x", "turns": [3]}, "turns[0]", "an object was expected, but it is 3"),
        ({"turns": own_row()["turns"]}, "id", "a text that is not empty was expected, but it is missing"),
        (broken(message="  "), "turns[0].message", "but it is empty"),
        (broken(message=7), "turns[0].message", "but it is 7"),
        (broken(responses=["a", "b", "c"]), "turns[0].responses", "4 responses were expected"),
        (broken(responses=["a", "b", "b", "c"]), "turns[0].responses", "2 and 3 are the same"),
        (broken(responses=["a", "b", {"text": ""}, "c"]), "turns[0].responses[2].text", "but it is empty"),
        (broken(responses="abcd"), "turns[0].responses", "a list was expected"),
        (broken(safety="yes"), "turns[0].safety", "true or false was expected"),
        (broken(priority="high"), "turns[0].priority", "a whole number was expected"),
        (broken(priority=10**30), "turns[0].priority", "a number from -2147483647 to 2147483647 was expected"),
        (broken(priority=-(2**31)), "turns[0].priority", "a number from -2147483647 to 2147483647 was expected"),
        (broken(message="头\ud800痛"), "turns[0].message", "it holds the character U+D800"),
        (broken(message="头\0痛"), "turns[0].message", "it holds the character U+0000"),
        (broken(responses=["a", "b", "c", {"text": "d", "sampling": {"a\udc00": 1}}]), SAMPLING, "U+DC00"),
        (broken(responses=["a", "b", "c", {"text": "d", "sampling": {"t": math.nan}}]), SAMPLING, "finite numbers"),
        (broken(responses=["a", "b", "c", {"text": "d", "model": "m" * 257}]), MODEL, "at most 256 characters"),
        ({**own_row("d"), "department": "儿" * 65}, "department", "at most 64 characters"),
        (own_row("i" * 129), "id", "at most 128 characters were expected, but it has 129"),
        (chat("user", id="i" * 129), "id", "at most 128 characters"),
        (chat("user", department="儿" * 65), "department", "at most 64 characters"),
        ({**CMTMEDQA[0], "id": "i" * 120}, "id", "at most 119 characters"),
        ({**CMTMEDQA[0], "cate1": "儿" * 65}, "cate1", "at most 64 characters"),
        ({"id": "x", "more": nested(40)}, "more" + "[0]" * 32, "at most 32 lists and objects"),
        ({**LABEL_TOOL["0"], "response_4": "e"}, "response_4", "but there are more"),
        ({**own_row("h"), "history": [["a"]]}, "history[0]", "a [patient, doctor] pair"),
        (chat("user", responses=3), "responses", "at least 4 responses were expected"),
        (chat("assistant"), "messages", "the roles are assistant"),
        (chat("user", "assistant"), "messages", "user and assistant in turn"),
        ({"unknown": 1}, "row", "a row of one of the known formats"),
        (5, "row", "a row of one of the known formats"),
        ({"query": "x", "response_0": "a", "response_1": "b", "response_2": "c"}, "response_3", "but it is missing"),
        ({"instruction": "x", "output": ["a", "b"]}, "output", "a list with 2 entries"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_its_field_and_what_was_expected(
    row: Any, where: str, expected: str
) -> None:
    reading = read_file(json_lines_escaped(own_row("good"), row), k=4)
    [problem] = reading.problems
    assert (problem.line, problem.where) == (2, where)
    assert expected in str(problem)
    assert len(reading.dialogues) == 1


@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "pretty"])
def test_one_object_may_be_one_row(indent: int | None) -> None:
    reading = read_file(json.dumps(own_row("a"), indent=indent).encode(), k=4)
    assert ([d.external_id for d in reading.dialogues], reading.problems) == (["a"], [])


def test_a_numbered_entry_that_is_no_row_is_reported_among_those_that_are() -> None:
    reading = read_file(json.dumps({**LABEL_TOOL, "2": 5}).encode(), k=4)
    assert (len(reading.dialogues), [p.where for p in reading.problems]) == (2, ["row"])


def two_faults(**first: Any) -> dict[str, Any]:
    second = {"message": "还要多久？", "responses": ["a", {"text": 5, "model": 6}, "c", "d"]}
    return {"id": "", "history": [["a"], ["b", "c"], 7], "turns": [{**first, "safety": 1}, second]}


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (
            two_faults(priority="high"),
            ["history[0]", "history[2]", "id"]
            + [f"turns[0].{name}" for name in ("message", "reply", "safety", "priority")]
            + [f"turns[1].responses[1].{name}" for name in ("text", "model")],
        ),
        (chat("user", responses=3, id=5, department=6), ["responses", "id", "department"]),
        (
            {"messages": [{"role": 1}, 2], "responses": 7},
            ["messages[0].role", "messages[0].content", "messages[1]", "responses"],
        ),
        ({"query": 1, "history": 2, "response_0": "a"}, [*(f"response_{i}" for i in (1, 2, 3)), "history", "query"]),
        ({"instruction": 1, "output": 2, "history": 3}, ["instruction", "output", "history"]),
        ({"instruct": 1, "output": 2}, ["instruct", "output"]),
        ({"a": "\0", "b": ["\ud800"]}, ["a", "b[0]"]),
    ],
    ids=["own", "messages", "roles", "label tool", "dialogue", "safety", "unstorable"],
)
def test_all_fields_of_a_row_that_do_not_fit_are_reported_at_once(row: Any, fields: list[str]) -> None:
    reading = read_file(json_lines_escaped(row), k=4)
    assert [p.where for p in reading.problems] == fields
    assert {p.line for p in reading.problems} == {1}


def test_all_problems_of_a_file_are_reported_at_once() -> None:
    reading = read_file(json_lines(broken(message=""), own_row("good"), broken(responses=[]), 5, "{"), k=4)
    assert [p.line for p in reading.problems] == [1, 4, 5]


def test_a_list_is_reported_by_the_line_on_which_the_row_begins() -> None:
    rows = [own_row("a"), broken(message=""), own_row("c")]
    reading = read_file(json.dumps(rows, ensure_ascii=False, indent=2).encode(), k=4)
    lines_before = json.dumps(rows[:1], ensure_ascii=False, indent=2).count("\n")
    assert [p.line for p in reading.problems] == [lines_before + 1]
    assert len(reading.dialogues) == 2


@pytest.mark.parametrize(
    ("data", "line", "expected"),
    [
        (b"", 1, "the file is empty"),
        (b" \n \n", 1, "the file is empty"),
        (b'[{"id": 1},\n\n {"id" 2}]', 3, "JSON was expected"),
        (b'[{"id": 1}', 1, "JSON was expected"),
        ("测".encode("utf-16"), 1, "UTF-8 or GB18030"),
        (b"[]", 1, "at least one row was expected, but there is none"),
        (b"\n{ }", 2, "at least one row was expected, but there is none"),
        (b'[{"id": 1}]\n\n[{"id": 2}]', 3, "nothing more was expected"),
        (b'[{"id": 1}] 5', 1, "nothing more was expected"),
        (b'{"0": {}}}', 1, "one JSON object a line was expected"),
        (b'{"0":\n{}}\n{}', 3, "nothing more was expected"),
        (b'{"id":\n1}\n{"id":\n2}', 3, "nothing more was expected"),
        (b"[5,\n" + b"[" * 100_000, 2, "Nested too deeply"),
        (b"5\n" + b'{"a":' * 100_000, 2, "Nested too deeply"),
        (b'{"a":' * 100_000 + b"\n5", 1, "Nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", 1, "too many digits"),
    ],
    ids=[
        *("nothing", "blank", "broken list", "cut off", "utf-16", "empty list", "empty object", "two lists"),
        *("more on the line", "more after one line", "more after rows", "two rows"),
        *("deep list", "deep line", "deep first line", "digits"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(data: bytes, line: int, expected: str) -> None:
    problems = [p for p in read_file(data, k=4).problems if expected in str(p)]
    assert [p.line for p in problems] == [line]


def test_broken_json_lines_are_reported_each_by_itself() -> None:
    good = json_lines(own_row("a"))
    reading = read_file(b"{broken\n" + good + b"\n{broken\n" + good.replace(b"d1", b"d2"), k=4)
    assert [p.line for p in reading.problems] == [1, 3]


def test_the_list_before_the_rest_of_a_file_is_no_reason_to_be_silent() -> None:
    one = json.dumps([own_row("a")]).encode()
    assert read_file(one, k=4).problems == []
    assert len(read_file(one + b"\n" + one, k=4).problems) == 1


def test_one_dialogue_that_stands_twice_in_a_file_is_read_once() -> None:
    reading = read_file(json_lines(own_row("a"), own_row("a")), k=4)
    assert (len(reading.dialogues), reading.repeated, reading.problems) == (1, [2], [])


def test_one_id_with_two_contents_is_a_problem() -> None:
    reading = read_file(json_lines(own_row("a"), own_row("a", message="别的问题")), k=4)
    assert [(p.line, p.where) for p in reading.problems] == [(2, "id")]


def test_one_id_with_two_system_messages_is_a_problem() -> None:
    reading = read_file(json_lines(own_row("a"), {**own_row("a"), "system": "您是儿科医生。"}), k=4)
    assert [(p.line, p.where) for p in reading.problems] == [(2, "id")]


def test_a_field_is_named_in_a_way_that_can_be_printed() -> None:
    [problem] = read_file(b'{"' + b"k" * 100 + b'": "\\ud800"}', k=4).problems
    assert problem.where == "k" * 40
    [problem] = read_file(b'{"a\\ud800": ["\\u0000"], "turns": []}', k=4).problems[1:]
    assert problem.where == "a\N{REPLACEMENT CHARACTER}[0]"


def test_the_report_quotes_no_text_of_a_patient() -> None:
    secret = "张三，电话一三八"
    reading = read_file(json_lines({"id": "x", "turns": [{"message": [secret]}]}, {"messages": secret}), k=4)
    assert len(reading.problems) == 2
    assert not any(secret in str(p) for p in reading.problems)


def test_real_dialogues_of_two_schemas_are_read() -> None:
    file = DATA / "cmtmedqa_test.json"
    if not file.exists():
        pytest.skip(f"{file.name} is not here")
    reading = read_file(file.read_bytes(), k=4)
    rows = json.loads(file.read_text(encoding="utf-8"))
    safety = {(r["instruct"], r["output"]) for r in rows if "instruct" in r}
    exchanges = sum(1 + len(r["history"]) for r in rows if "instruction" in r)
    assert reading.problems == []
    assert len(reading.dialogues) + len(reading.repeated) == len(rows) == 1144
    assert sum(t.safety for t in turns_of(reading)) == len(safety)
    assert sum(not t.safety for t in turns_of(reading)) == exchanges


def test_real_responses_of_six_models_are_read() -> None:
    file = DATA / "disc_medllm_six_models.jsonl"
    if not file.exists():
        pytest.skip(f"{file.name} is not here")
    reading = read_file(file.read_bytes(), k=4, seed=3)
    assert (len(reading.dialogues), len(reading.choices), reading.problems) == (314, 314, [])
    assert {len(t.responses) for t in turns_of(reading)} == {4}
