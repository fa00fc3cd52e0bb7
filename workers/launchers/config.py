"""The launchers that an operator has configured: one TOML file, a table for each by its name.

What is chosen in a form is a name of these; no text from a browser reaches a command.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from annotation.run_tables import Engine
from workers.launchers.hosts import Hosts
from workers.launchers.kubernetes import Kubernetes
from workers.launchers.launcher import Launcher
from workers.launchers.local import Local
from workers.launchers.ray_jobs import RayJobs
from workers.launchers.slurm import Slurm

LOCAL = "local"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
OF_LOCAL = re.compile(rb"^\s*\[*\s*[\"']?local\b", re.MULTILINE)
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")
OURS = {"--array", "--error", "--job-name", "--no-requeue", "--nodes", "--ntasks-per-node", "--open-mode", "--output",
        "--parsable", "--requeue", "--signal", "--wrap"}  # fmt: skip


class LaunchersError(ValueError):
    """A file of launchers that cannot be; the message names the file, the launcher, the setting and the mend."""


class Table(BaseModel):
    """What every launcher has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: int = Field(1, ge=1, le=1024, description="Processes on each machine, one a GPU")


class OneLine(Table):
    """Where another machine's shell is told what to do."""

    python: str = Field(
        sys.executable, min_length=1, description="Interpreter with this package, as the machines see it"
    )
    setup: str = Field("", description="A line of bash before the training, such as: module load cuda")

    @field_validator("python", "setup")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if "\n" in value or "\0" in value:
            raise ValueError("must be one line: put what is longer into a script, and run that")
        return value


class LocalTable(Table):
    """This machine."""

    engine: Literal["local"]

    def launcher(self) -> Launcher:
        """What it says."""
        return Local(self.processes)


class HostsTable(OneLine):
    """Several machines, by ssh."""

    engine: Literal["hosts"]
    hosts: tuple[str, ...] = Field(min_length=2, description="As ssh knows them; they meet at the first one")
    port: int = Field(29400, ge=1024, le=65535, description="Where the first one listens for the others")

    @field_validator("hosts")
    @classmethod
    def _named(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not HOST.fullmatch(host):
                raise ValueError(f"{host!r} is no name of a host: write it as name, address or user@name")
        if len(set(hosts)) < len(hosts):
            raise ValueError("names a host twice: raise processes instead, which counts those on each host")
        return hosts

    def launcher(self) -> Launcher:
        """What it says."""
        return Hosts(self.hosts, self.processes, self.port, self.python, self.setup)


class SlurmTable(OneLine):
    """A cluster under Slurm."""

    engine: Literal["slurm"]
    nodes: int = Field(1, ge=1, le=4096)
    partition: str = ""
    account: str = ""
    qos: str = ""
    time_limit: str = Field("", description="As sbatch takes it: minutes, or days-hours:minutes:seconds")
    gpus_per_node: str = Field("", description="As sbatch takes it, such as 4 or h100:4; empty: one a process")
    cpus_per_node: int = Field(0, ge=0, description="0 leaves it to the cluster")
    memory: str = Field("", description="Of a node, such as 200G")
    extra: tuple[str, ...] = Field((), description="Further options of sbatch, each as --name=value")

    @field_validator("partition", "account", "qos", "gpus_per_node", "memory")
    @classmethod
    def _one_word(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.,:+-]*", value, re.ASCII):
            raise ValueError(f"{value!r} is no word that sbatch takes: write it without spaces and quotes")
        return value

    @field_validator("time_limit")
    @classmethod
    def _a_time(cls, value: str) -> str:
        if value and not re.fullmatch(r"(\d+-)?\d+(:\d\d){0,2}", value):
            raise ValueError(
                f"{value!r} is no time: write minutes, hours:minutes:seconds or days-hours:minutes:seconds"
            )
        return value

    @field_validator("extra")
    @classmethod
    def _options(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            name = option.partition("=")[0]
            if not re.fullmatch(r"--[a-z][a-z-]*(=[^\s#]+)?", option):
                raise ValueError(f"{option!r} is no option of sbatch: write it as --name=value, without spaces")
            if name in OURS:
                raise ValueError(f"{name} is set for every run: leave it out")
        return options

    def launcher(self) -> Launcher:
        """What it says."""
        gpus = self.gpus_per_node or str(self.processes)
        given = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "time": self.time_limit,
            "gpus-per-node": "" if gpus == "0" else gpus,
            "cpus-per-task": str(self.cpus_per_node or ""),
            "mem": self.memory,
        }
        options = [*(f"--{name}={value}" for name, value in given.items() if value), *self.extra]
        return Slurm(self.nodes, self.processes, tuple(options), self.python, self.setup)


class RayTable(OneLine):
    """A cluster under Ray."""

    engine: Literal["ray"]
    address: str = Field(description="Of the dashboard, such as http://ray-head:8265")
    nodes: Literal[1] = 1
    cpus: float = Field(1, ge=0)
    gpus: float = Field(0, ge=0)

    @field_validator("address")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/]+", value):
            raise ValueError(f"{value!r} is no address of Ray: write it as http://ray-head:8265")
        return value

    @model_validator(mode="after")
    def _a_gpu_each(self) -> RayTable:
        if self.gpus and self.gpus < self.processes:
            raise ValueError("processes are more than gpus: make them equal, since each process takes a whole one")
        return self

    def launcher(self) -> Launcher:
        """What it says."""
        return RayJobs(self.address, self.processes, self.cpus, self.gpus, self.python, self.setup)


class KubernetesTable(OneLine):
    """A cluster under Kubernetes."""

    engine: Literal["kubernetes"]
    python: str = Field("python", min_length=1, description="Interpreter with this package, in the image")
    nodes: int = Field(1, ge=1, le=4096)
    image: str = Field(min_length=1)
    namespace: str = "default"
    claim: str = Field(min_length=1, description="Persistent volume claim with the home folder")
    mount: str = Field(description="Path of that volume in the pods: the home folder's path on the worker, or above it")
    context: str = Field("", description="Of kubectl; empty: the current one, or the cluster that the worker runs in")
    resources: dict[str, str] = Field(default_factory=dict, description='Of a pod, such as {"nvidia.com/gpu" = "4"}')
    node_selector: dict[str, str] = Field(default_factory=dict)

    @field_validator("namespace", "claim")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", value):
            raise ValueError(f"{value!r} is no name in Kubernetes: write it in small letters, digits and hyphens")
        return value

    @field_validator("mount")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError(f"{value!r} is no absolute path: begin it with /")
        return value

    def launcher(self) -> Launcher:
        """What it says."""
        return Kubernetes(
            self.nodes, self.processes, self.image, self.namespace, self.claim, self.mount, self.python, self.setup,
            self.context, self.resources, self.node_selector,
        )  # fmt: skip


AnyTable = Annotated[LocalTable | HostsTable | SlurmTable | RayTable | KubernetesTable, Field(discriminator="engine")]
TABLE: TypeAdapter[AnyTable] = TypeAdapter(AnyTable)


def read(file: Path) -> Mapping[str, AnyTable]:
    """The launchers by name, ``local`` always among them and first; raises LaunchersError."""
    tables: dict[str, AnyTable] = {LOCAL: LocalTable(engine="local")}
    wrong = []
    for name, table in _told(file).items():
        try:
            tables[name] = _table(name, table)
        except LaunchersError as error:
            wrong.append(str(error))
    if wrong:
        raise LaunchersError(f"{file}: {'; '.join(wrong)}")
    return tables


def _told(file: Path) -> Mapping[str, object]:
    if not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LaunchersError(f"{file} is no TOML: {error}") from error


def _table(name: str, told: object) -> AnyTable:
    if not NAME.fullmatch(name):
        raise LaunchersError(f"[{name}] is no name of a launcher: write it in small letters, digits and hyphens")
    try:
        table = TABLE.validate_python(told)
    except ValidationError as error:
        raise LaunchersError("; ".join(_sentence(name, dict(each)) for each in error.errors())) from error
    if name == LOCAL and table.engine != "local":
        raise LaunchersError(f"[{name}] is this machine: its engine is local; give the other one another name")
    return table


def _sentence(name: str, problem: Mapping[str, object]) -> str:
    """What of a table does not fit; the first part of where is the engine, where that is known."""
    place = [str(part) for part in problem["loc"]]  # type: ignore[attr-defined]
    setting = ".".join(place[1:])
    kind, said = problem["type"], str(problem["msg"]).removeprefix("Value error, ")
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return f"[{name}] engine must be one of {', '.join(Engine)}"
    if kind == "extra_forbidden":
        return f"[{name}] {setting} is no setting of a {place[0]} launcher: leave it out, or see docs/launching.md"
    if kind == "missing":
        return f"[{name}] {setting} is missing: add it"
    return f"[{name}] {setting} {said}".replace("  ", " ")


def named(file: Path, name: str) -> AnyTable:
    """The launcher of that name, whatever is wrong with the others; raises LaunchersError.

    This machine needs no file: one that is no TOML counts only where a line of it speaks of ``local``.
    """
    try:
        told = _told(file)
    except LaunchersError:
        if name != LOCAL or OF_LOCAL.search(file.read_bytes()):
            raise
        told = {}
    if name == LOCAL and name not in told:
        return LocalTable(engine="local")
    if name not in told:
        raise LaunchersError(f"{file} names no launcher {name}: add it, or choose another one")
    try:
        return _table(name, told[name])
    except LaunchersError as error:
        raise LaunchersError(f"{file}: {error}") from error


def chosen(file: Path, name: str, engine: Engine) -> Launcher:
    """The launcher of a run; raises LaunchersError where it is no longer what it was when the run was started."""
    table = named(file, name)
    if table.engine != engine:
        raise LaunchersError(f"{file}: [{name}] was of the engine {engine} when this run was started: start it again")
    return table.launcher()
