"""Folders of weights that can be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlhf import checkpoints
from rlhf.checkpoints import CheckpointError, Lineage


def make(run: Path, step: int) -> Path:
    folder = checkpoints.step_folder(run, step)
    with checkpoints.writing(folder) as aside:
        (aside / "weights").write_text(str(step))
    return folder


def test_a_folder_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(RuntimeError), checkpoints.writing(target) as aside:
        (aside / "weights").write_text("half")
        raise RuntimeError("killed")
    assert not target.exists()
    with checkpoints.writing(target) as aside:
        (aside / "weights").write_text("whole")
    assert checkpoints.is_complete(target)
    assert (target / "weights").read_text() == "whole"
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_unmarked_checkpoints_are_not_seen_and_are_swept_away(tmp_path: Path) -> None:
    whole = make(tmp_path, 10)
    half = checkpoints.step_folder(tmp_path, 20)
    half.mkdir()
    aside = half.with_name(".step-0000030.writing")
    aside.mkdir()
    assert checkpoints.complete_ones(tmp_path) == [whole]
    checkpoints.sweep(tmp_path)
    assert list((tmp_path / checkpoints.CHECKPOINTS).iterdir()) == [whole]


def test_the_newest_two_and_the_best_are_kept(tmp_path: Path) -> None:
    folders = [make(tmp_path, step) for step in (10, 20, 30, 40)]
    checkpoints.rotate(tmp_path, keep=2, best=folders[0])
    assert checkpoints.complete_ones(tmp_path) == [folders[0], folders[2], folders[3]]


def test_the_hash_of_a_model_changes_with_its_weights_and_not_with_its_lineage(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    before = checkpoints.hash_folder(tmp_path)
    Lineage("sft", {}, {}).write(tmp_path)
    (tmp_path / "note.txt").write_text("nothing")
    assert checkpoints.hash_folder(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert checkpoints.hash_folder(tmp_path) != before


def test_lineage_is_read_back(tmp_path: Path) -> None:
    lineage = Lineage("reward", {"base": {"path": "/b", "sha256": "x"}}, {"seed": 1}, step=7)
    lineage.write(tmp_path)
    assert Lineage.read(tmp_path) == lineage
    assert {"torch", "trl", "peft"} <= lineage.versions.keys()


def test_a_folder_without_lineage_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lineage\.json"):
        Lineage.read(tmp_path)


def made_on(folder: Path, inputs: dict[str, dict[str, str]]) -> Path:
    Lineage("sft", inputs, {}).write(folder)
    return folder


def test_an_adapter_belongs_to_the_base_that_its_lineage_names(tmp_path: Path) -> None:
    adapter = made_on(tmp_path, {"base": {"path": "/models/b", "sha256": "aaaa"}})
    checkpoints.require_same_base(adapter, Path("/moved/b"), "aaaa")
    with pytest.raises(CheckpointError, match=r"trained on the base /models/b .* name the base"):
        checkpoints.require_same_base(adapter, Path("/models/b"), "bbbb")


def test_an_adapter_made_elsewhere_names_no_base_and_passes(tmp_path: Path) -> None:
    checkpoints.require_same_base(tmp_path, Path("/b"), "aaaa")
    checkpoints.require_same_base(made_on(tmp_path, {}), Path("/b"), "aaaa")
