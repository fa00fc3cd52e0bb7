"""A finished policy can be taken out and spoken to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from rlhf import checkpoints, export, networks, sft
from rlhf.__main__ import app
from rlhf.checkpoints import CheckpointError
from rlhf.config import SftConfig
from rlhf.data import Dialogue
from rlhf.export import base_of, merge, talk
from rlhf.records import Records
from rlhf.sequences import Encoder
from rlhf.sft import rows_of
from rlhf.stage import Stage
from tests.rlhf.material import PLAIN, POLITE

CONFIG = SftConfig(epochs=40, batch_size=4, micro_batch_size=4, lora_rank=8, learning_rate=3e-2, save_every=100)


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine-tuned to answer one thing."""
    folder = tmp_path_factory.mktemp("sft") / "run"
    data = folder.parent / "data.jsonl"
    said = [{"role": "user", "content": "头痛三天了。"}, {"role": "assistant", "content": PLAIN}]
    data.write_text("\n".join([json.dumps({"messages": said})] * 4), encoding="utf-8")
    result = sft.run(Stage("sft", folder, {"base": base, "data": data}, Records(folder)), CONFIG)
    assert result["loss"] < 3
    return folder / checkpoints.MODEL


def test_a_merged_model_says_what_base_and_adapter_say(base: Path, adapter: Path, tmp_path: Path) -> None:
    out = merge(adapter, tmp_path / "merged")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        apart = networks.load_policy(base, adapter, "float32")(input_ids=ids).logits
        merged = networks.load_causal(out, "float32")(input_ids=ids).logits
        plain = networks.load_causal(base, "float32")(input_ids=ids).logits
    assert torch.allclose(apart, merged, atol=1e-5)
    assert not torch.allclose(plain, merged, atol=1e-2)


def test_merging_over_an_existing_folder_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="exists already"):
        merge(adapter, tmp_path)


def test_a_base_that_has_moved_has_to_be_named(adapter: Path, base: Path, tmp_path: Path) -> None:
    assert base_of(adapter, None) == base
    lineage = json.loads((adapter / checkpoints.LINEAGE).read_text())
    lineage["inputs"]["base"]["path"] = "/nowhere"
    (tmp_path / checkpoints.LINEAGE).write_text(json.dumps(lineage))
    with pytest.raises(CheckpointError, match="--base"):
        base_of(tmp_path, None)


def test_one_can_chat_with_it_at_the_terminal(adapter: Path) -> None:
    result = CliRunner().invoke(
        app, ["chat", str(adapter), "--temperature", "0", "--max-new-tokens", "20"], "头痛三天了。\n\n"
    )
    assert result.exit_code == 0, result.output
    assert "医生：" in result.output


def chat(*named: str) -> str:
    """What is said to a headache, the likeliest tokens."""
    arguments = ["chat", *named, "--temperature", "0", "--max-new-tokens", "20"]
    result = CliRunner().invoke(app, arguments, "头痛三天了。\n\n")
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def test_a_merged_model_speaks_for_itself(base: Path, adapter: Path, tmp_path: Path) -> None:
    merged = merge(adapter, tmp_path / "merged")
    assert chat(str(merged)) == chat(str(adapter))
    assert chat(str(base)) == chat("--base", str(base)) != chat(str(merged))


def test_an_adapter_is_merged_and_heard_on_its_own_base_only(adapter: Path, other_base: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="was trained on the base"):
        merge(adapter, tmp_path / "merged", other_base)
    with pytest.raises(CheckpointError, match="was trained on the base"):
        talk(adapter, other_base, 0.0, 20, 0)


def test_one_chats_where_computing_is_fastest(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "best_device", lambda: torch.device("meta"))
    monkeypatch.setattr(export, "answer", lambda model, *_rest: f"on {model.device.type}")
    assert "医生：on meta" in chat(str(base))


def test_fine_tuning_learns_from_what_the_doctor_says_only(encoder: Encoder) -> None:
    [row] = rows_of(encoder, [Dialogue((("头痛三天了。", PLAIN),))], 128)
    learnt = [label for label in row["labels"] if label != sft.IGNORED]
    assert tuple(learnt) == encoder.response(PLAIN)
    assert len(row["labels"]) == len(row["input_ids"])


def test_a_dialogue_that_is_too_long_ends_at_the_last_reply_that_fits(encoder: Encoder) -> None:
    whole = Dialogue((("头痛三天了。", PLAIN), ("孩子发烧怎么办？", POLITE * 5)))
    [row] = rows_of(encoder, [whole], 60)
    assert row["input_ids"] == encoder.dialogue(Dialogue(whole.exchanges[:1]))[0]
    assert rows_of(encoder, [whole], 10) == []


def test_a_stage_runs_from_the_command_line_and_says_what_is_wrong(base: Path, tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["train", "sft", "--out", str(tmp_path / "a"), "--base", str(base)])
    assert missing.exit_code == 2
    assert "needs --data" in missing.output
    wrong = CliRunner().invoke(app, ["train", "sft", "--out", str(tmp_path / "b"), "--set", "epochs=0"])
    assert wrong.exit_code == 2
    assert "epochs" in wrong.output


@pytest.mark.parametrize("command", [["chat"], ["export", "--out", "merged"]])
def test_a_folder_that_holds_no_model_is_said_in_one_sentence(tmp_path: Path, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rlhf", command[0], str(tmp_path), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 2
    assert "zhongjing: " in done.stderr
    assert "Traceback" not in done.stderr
