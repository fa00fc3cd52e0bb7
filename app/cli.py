"""The command line: ``zhongjing …``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from annotation import migrate, snapshot
from annotation.db import Database
from annotation.formats.reading import read_file
from annotation.formats.rows import Reading
from annotation.formats.unpacking import unpack
from annotation.formats.writing import formats
from annotation.people_tables import Role, User, UserState
from annotation.refusals import Refused
from annotation.run_tables import CheckpointKind, DataSetKind
from annotation.store import campaigns, data_sets, foreign_rankings, imports, people, restoring, runs, snapshots
from annotation.store.foreign_rankings import Added
from annotation.store.imports import Imported
from app import launch, registering
from app.settings import Settings
from workers.launchers import dry_run
from workers.launchers.config import LaunchersError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Zhongjing's expert feedback system.")
register = typer.Typer(no_args_is_help=True, help="Makes a local model or data file known.")
app.add_typer(register, name="register")

SHOWN_PROBLEMS = 200


def settings() -> Settings:
    """The settings of the environment; ends with a sentence where they cannot be."""
    try:
        return Settings()
    except ValidationError as error:
        for each in error.errors():
            typer.echo(f"zhongjing: {each['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from error


def opened(found: Settings) -> Database:
    """The database, brought up to date where it is the embedded one."""
    found.home.mkdir(parents=True, exist_ok=True)
    database = Database(found.database_url)
    if database.is_sqlite:
        migrate.upgrade(found.database_url)
    return database


@app.command()
def serve(
    web_processes: Annotated[int, typer.Option(help="Processes of the web", min=1)] = 1,
    trainer: Annotated[bool, typer.Option(help="Start a training worker on this machine")] = True,
) -> None:
    """Starts everything on this machine: broker (if none is named), workers, beat, web."""
    found = settings()
    database = opened(found)
    _invite_first_admin(found, database)
    services = launch.Services(found)
    with _refusals_said():
        services.start(web_processes=web_processes, trainer=trainer)
        typer.echo(f"Zhongjing serves at http://{found.host}:{found.port} — Ctrl-C ends it.")
        launch.run_until_interrupted(services)


@app.command("migrate")
def migrate_database() -> None:
    """Brings the database to the schema of this version."""
    migrate.upgrade(settings().database_url)


@app.command()
def demo(
    home: Annotated[Path, typer.Option(help="Folder of the demonstration")] = Path("var/demo"),
    serve_on: Annotated[bool, typer.Option("--serve/--no-serve", help="Go on serving at the end of the way")] = True,
) -> None:
    """The whole method once, on the sample campaign; a second time goes on where the first left off."""
    from app.demo.show import show

    os.environ |= {"ZHONGJING_HOME": str(home), "ZHONGJING_DEMO": "true"}
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    with _refusals_said():
        raise typer.Exit(show(settings(), serve_on=serve_on))


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSON or JSON lines, in UTF-8 or GB18030", exists=True, dir_okay=False)],
    campaign: Annotated[str, typer.Option(help="Name of the campaign; created if there is none of that name")],
    k: Annotated[int, typer.Option(help="Responses a turn, of a campaign that is created", min=2, max=5)] = 4,
    seed: Annotated[int, typer.Option(help="Draws K of the responses where a row has more")] = 0,
    skip: Annotated[bool, typer.Option(help="Import what fits and skip the rest")] = False,
) -> None:
    """Imports dialogues into a campaign: all of a file, or nothing and a list of what does not fit."""
    database = opened(settings())
    with database.reading() as session:
        known = campaigns.by_name(session, campaign)
    reading = read_file(file.read_bytes(), k=known.k if known else k, seed=seed)
    if reading.problems and not skip:
        _say_problems([str(problem) for problem in reading.problems])
    with _refusals_said(), database.writing() as session:
        found = campaigns.by_name(session, campaign) or campaigns.create(session, campaign, k=k, members=())
        nobody = not campaigns.members(session, found.id)
        done = imports.add(session, found, reading.dialogues, source=file.name, actor_id=None)
        if done.problems:
            _say_problems([str(problem) for problem in done.problems])
    _say_import(reading, done)
    if nobody:
        where = f"{settings().public_url}/admin/campaigns/{found.id}#members"
        typer.echo(f"Nobody ranks in {campaign} yet: say who does at {where}")


@app.command("import-rankings")
def import_rankings(
    file: Annotated[Path, typer.Argument(help="Table that the RLHF-Label-Tool wrote", exists=True, dir_okay=False)],
    campaign: Annotated[str, typer.Option(help="Name of the campaign")],
    annotator: Annotated[str, typer.Option(help="Name for whoever made the rankings")],
    asked: Annotated[Path | None, typer.Option("--input", help="The tool's input file", exists=True)] = None,
    mend: Annotated[bool, typer.Option("--mend/--as-it-says", help="Undo the tool's inverted orders")] = False,
) -> None:
    """Imports rankings made with the RLHF-Label-Tool, which stores the inverse of the order that was chosen."""
    database = opened(settings())
    with database.reading() as session:
        known = campaigns.by_name(session, campaign)
    if known is None:
        typer.echo(f"zhongjing: there is no campaign named {campaign}", err=True)
        raise typer.Exit(2)
    given = asked.read_bytes() if asked else b""
    with _refusals_said():
        done = foreign_rankings.bring(
            database, known, file.read_bytes(), given, annotator=annotator, mend=mend, source=file.name, actor_id=None
        )
    if done.problems:
        _say_problems([str(problem) for problem in done.problems], "Nothing was imported: {count} rows do not fit.")
    typer.echo(_told(done))


@app.command()
def freeze(campaign: Annotated[str, typer.Argument(help="Name of the campaign")]) -> None:
    """Freezes what a campaign has settled and prints the folder."""
    found = settings()
    database = opened(found)
    with database.reading() as session:
        known = campaigns.by_name(session, campaign)
    if known is None:
        typer.echo(f"zhongjing: there is no campaign named {campaign}", err=True)
        raise typer.Exit(2)
    with _refusals_said():
        snapshot_id = snapshots.freeze(database, known.id, found.snapshots, actor_id=None)
    with database.reading() as session:
        typer.echo(snapshots.get(session, snapshot_id).folder)


@app.command("write")
def write_snapshot(
    name: Annotated[str, typer.Argument(help="Name of the snapshot, such as 1-1, or its folder")],
    form: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(formats.FORMATS)}")],
    out: Annotated[Path, typer.Option(help="Folder to make, or a .zip")],
) -> None:
    """Writes a snapshot in the format of another program."""
    with _refusals_said():
        folder = Path(name)
        if not (folder / snapshot.MANIFEST).exists():
            with opened(settings()).reading() as session:
                folder = Path(snapshots.named(session, name).folder)
        formats.write_to(folder, form, out)
    typer.echo(out)


@app.command()
def restore(
    archive: Annotated[Path, typer.Argument(help="Zip that was written as zhongjing", exists=True, dir_okay=False)],
    name: Annotated[str, typer.Option(help="Name of the campaign, where not the one that it had")] = "",
) -> None:
    """Makes a campaign of the archive of a snapshot: all of it, or nothing."""
    with _refusals_said(), tempfile.TemporaryDirectory() as folder, archive.open("rb") as file:
        manifest = unpack(file, Path(folder))
        with opened(settings()).writing() as session:
            campaign = restoring.restore(session, Path(folder), manifest, actor_id=None, name=name.strip())
    typer.echo(f"{campaign.name}: {manifest.files[snapshot.TURNS].rows} turns restored.")


@app.command()
def invite(
    login: Annotated[str, typer.Argument(help="Login of the person")],
    name: Annotated[str, typer.Option(help="Name, of a person who is new")] = "",
    role: Annotated[Role, typer.Option(help="Role, of a person who is new")] = Role.ADMIN,
) -> None:
    """Prints a one-time link with which a person sets a password: a new one, or one who lost theirs."""
    found = settings()
    with _refusals_said(), opened(found).writing() as session:
        user = people.by_login(session, login) or people.add(session, login, name or login, role)
        typer.echo(_link(found, people.invite(session, user, actor_id=None)))


@app.command()
def submission(
    run_id: Annotated[int, typer.Argument(help="Number of the run")],
    launcher: Annotated[str, typer.Option(help="Another launcher than the one that was chosen for it")] = "",
) -> None:
    """Prints what would be handed to what carries a run; nothing is."""
    found = settings()
    with _refusals_said(), opened(found).reading() as session:
        run = runs.get(session, run_id)
        typer.echo(dry_run.would_be(found, run, launcher or run.launcher), nl=False)


@register.command("model")
def register_model(
    name: Annotated[str, typer.Argument(help="Name to choose it by")],
    folder: Annotated[Path, typer.Argument(help="Folder saved by transformers", exists=True, file_okay=False)],
) -> None:
    """Registers a base model that lies in a local folder."""
    with _refusals_said(), opened(settings()).writing() as session:
        path, sha256 = registering.check_model(folder, name)
        runs.add_checkpoint(session, name, CheckpointKind.BASE, str(path), sha256)
    typer.echo(f"{name}: {sha256}")


@register.command("data")
def register_data(
    name: Annotated[str, typer.Argument(help="Name to choose it by")],
    file: Annotated[Path, typer.Argument(help="JSON lines in UTF-8", exists=True, dir_okay=False)],
    kind: Annotated[DataSetKind, typer.Option(help="What its rows are")],
) -> None:
    """Registers a corpus, dialogues to fine-tune on, or prompts."""
    found = settings()
    with _refusals_said(), opened(found).writing() as session:
        kept = registering.keep_data(found.data_sets, name, file.read_bytes(), kind)
        data_sets.add(session, name, kind, str(kept.path), kept.sha256, kept.rows, actor_id=None)
    typer.echo(f"{name}: {kept.rows} rows, {kept.sha256}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def train(context: typer.Context) -> None:
    """A stage of the training without database: the same as ``python -m rlhf train``."""
    _hand_over("train", context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def chat(context: typer.Context) -> None:
    """Talks to a model at the terminal: the same as ``python -m rlhf chat``."""
    _hand_over("chat", context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def export(context: typer.Context) -> None:
    """Merges an adapter into its base: the same as ``python -m rlhf export``."""
    _hand_over("export", context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def plan(context: typer.Context) -> None:
    """Says how much memory a stage will take: the same as ``python -m rlhf plan``."""
    _hand_over("plan", context.args)


def _hand_over(command: str, arguments: list[str]) -> None:
    """Becomes the training's own command line, so that this one runs without torch."""
    os.execv(sys.executable, [sys.executable, "-m", "rlhf", command, *arguments])  # noqa: S606  (an argument list)


class _refusals_said:  # noqa: N801  (reads as a sentence at its use)
    """Says what the rules refuse in one sentence, and ends with status 2."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Ends the program where it was refused."""
        if isinstance(error, Refused | LaunchersError | launch.CannotServeError):
            typer.echo(f"zhongjing: {error}", err=True)
            raise typer.Exit(2) from error


def _invite_first_admin(found: Settings, database: Database) -> None:
    """An empty installation has nobody who could invite anybody: the terminal does."""
    with database.writing() as session:
        admins = [user for user in people.everybody(session) if _can_administer(user)]
        if admins:
            return
        user = people.by_login(session, "admin") or people.add(session, "admin", "管理员", Role.ADMIN)
        code = people.invite(session, user, actor_id=None)
    typer.echo(f"First admin: set a password within seven days at {_link(found, code)}")


def _can_administer(user: User) -> bool:
    return user.role is Role.ADMIN and user.state is UserState.ACTIVE


def _link(found: Settings, code: str) -> str:
    return f"{found.public_url}/invitation/{code}"


def _told(done: Added) -> str:
    said = f"{done.rankings} rankings imported. Of {done.numbered} it is known which response is which: "
    how = (
        "were put right" if done.mended else "stand inverted, as the tool stores them; import them with --mend instead"
    )
    return f"{said}{done.differing} of them {how}."


def _say_problems(
    problems: list[str], sentence: str = "Nothing was imported: {count} rows do not fit. Mend them, or pass --skip."
) -> None:
    typer.echo(sentence.format(count=len(problems)), err=True)
    for problem in problems[:SHOWN_PROBLEMS]:
        typer.echo(f"  {problem}", err=True)
    raise typer.Exit(2)


def _say_import(reading: Reading, done: Imported) -> None:
    typer.echo(
        f"{reading.format}: {done.dialogues} dialogues with {done.turns} turns imported, {done.waiting} of them "
        f"waiting for responses, {done.safety} safety questions; {done.known} dialogues were there already, "
        f"{done.completed} turns were completed."
    )
    for what, count in (("repeat an earlier row", len(reading.repeated)), ("were skipped", len(reading.problems))):
        if count:
            typer.echo(f"{count} rows {what}.")
    for choice in reading.choices:
        typer.echo(f"  {choice.dialogue}: kept responses {', '.join(map(str, choice.kept))} of {choice.offered}")
