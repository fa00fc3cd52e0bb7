"""``python -m rlhf STAGE …``: a stage on a machine that has a snapshot folder and no database."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rlhf.config import CONFIGS, ConfigError, Settings
from rlhf.records import Records

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The stages of the training: files in, files out.")

SPEC = "spec.json"
RESULT = "result.json"

Name = StrEnum("Name", {stage: stage for stage in CONFIGS})  # type: ignore[misc]


@app.command()
def train(
    stage: Annotated[Name, typer.Argument(help="Which stage to run")],
    out: Annotated[Path, typer.Option(help="Folder of the run; a run that was cut short there is resumed")],
    snapshot: Annotated[Path | None, typer.Option(help="Folder of a frozen campaign")] = None,
    base: Annotated[Path | None, typer.Option(help="Folder of the base model")] = None,
    policy: Annotated[Path | None, typer.Option(help="Model folder of a fine-tuning run")] = None,
    reward: Annotated[Path | None, typer.Option(help="Model folder of a reward run")] = None,
    data: Annotated[Path | None, typer.Option(help="File of a corpus, of dialogues or of prompts")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with a section for the stage")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="name=value, over the file")] = None,
) -> None:
    """Runs a stage into a folder, or goes on with it where it was cut short."""
    paths = {"snapshot": snapshot, "base": base, "policy": policy, "reward": reward, "data": data}
    given = {name: path.resolve() for name, path in paths.items() if path is not None}
    _finish(stage.value, out.resolve(), given, _settings(stage.value, config, change))


@app.command(hidden=True)
def spec(folder: Path) -> None:
    """Runs what a worker wrote into a run's folder."""
    told = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    settings = CONFIGS[told["stage"]].of(told["config"])
    _finish(told["stage"], folder, {name: Path(path) for name, path in told["paths"].items()}, settings)


@app.command()
def plan(
    stage: Annotated[Name, typer.Argument(help="Which stage to plan")],
    base: Annotated[str | None, typer.Option(help="Folder of the base model, or 0.5B, 1.5B, 7B or 13B")] = None,
    gpu: Annotated[str | None, typer.Option(help="Name of a GPU, or its memory in GB; by default several")] = None,
    gpus: Annotated[int | None, typer.Option(help="Processes, one on each GPU", min=1)] = None,
    snapshot: Annotated[Path | None, typer.Option(help="Folder of a frozen campaign, to count its tokens")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with a section for the stage")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="name=value, over the file")] = None,
) -> None:
    """Says how much memory a stage takes, part by part, and whether it fits a GPU; starts nothing."""
    from rlhf.planned import Meant, said
    from rlhf.refusals import REFUSALS

    settings, filed = _settings(stage.value, config, change), Meant.by(config)
    meant = replace(filed, gpu=gpu or filed.gpu, gpus=gpus or filed.gpus)
    try:
        for line in said(base, settings, meant, snapshot):
            typer.echo(line)
    except REFUSALS as refusal:
        typer.echo(f"zhongjing: {refusal}", err=True)
        raise typer.Exit(2) from refusal


@app.command()
def export(
    adapter: Annotated[Path, typer.Argument(help="Model folder of a fine-tuning or PPO run")],
    out: Annotated[Path, typer.Option(help="Folder to write the merged model into")],
    base: Annotated[Path | None, typer.Option(help="Base model; by default the one that the lineage names")] = None,
) -> None:
    """Merges an adapter into its base, in float32, and saves an ordinary model."""
    with _refusals_said():
        from rlhf.export import merge

        typer.echo(str(merge(adapter, out, base)))


@app.command()
def chat(
    adapter: Annotated[Path | None, typer.Argument(help="Model folder of a fine-tuning or PPO run")] = None,
    base: Annotated[Path | None, typer.Option(help="Base model; by default the one that the lineage names")] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(help="Longest reply")] = 256,
    seed: Annotated[int, typer.Option(help="Of the sampling")] = 0,
) -> None:
    """Talks to a model at the terminal. An empty line ends the dialogue; the model is no doctor."""
    with _refusals_said():
        from rlhf.export import talk

        talk(adapter, base, temperature, max_new_tokens, seed)


def _settings(stage: str, config: Path | None, changes: list[str] | None) -> Settings:
    """The settings of a stage: a file, with changes on top."""
    try:
        return CONFIGS[stage].read(config, dict(map(_change, changes or [])))
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


def _change(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"--set {text}: write it as name=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


@contextmanager
def _refusals_said() -> Iterator[None]:
    """Says what the user can mend in one sentence, without a traceback, and nothing of how a file is loaded."""
    from rlhf.recipes import quiet
    from rlhf.refusals import REFUSALS

    quiet()
    try:
        yield
    except REFUSALS as refusal:
        typer.echo(f"zhongjing: {refusal}", err=True)
        raise typer.Exit(2) from refusal


def _finish(stage: str, folder: Path, paths: dict[str, Path], settings: Settings) -> None:
    """Runs the stage; what the user can mend is said in one sentence, without a traceback."""
    from rlhf.recipes import run_stage
    from rlhf.refusals import REFUSALS

    main = int(os.environ.get("RANK", "0")) == 0  # as torchrun names the processes of a run
    records = Records(folder, main=main)
    try:
        result = run_stage(stage, folder, paths, settings, records)
    except REFUSALS as refusal:
        records.event("refused", 0, why=str(refusal))
        typer.echo(f"zhongjing: {refusal}", err=True)
        raise typer.Exit(2) from refusal
    if not main:
        return
    (folder / RESULT).write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    app(prog_name="python -m rlhf")
    sys.exit(0)
