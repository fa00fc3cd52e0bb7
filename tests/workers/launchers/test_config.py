"""The operator's file of launchers: what it may say, and what is said where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.run_tables import Engine
from workers.launchers import config
from workers.launchers.config import LaunchersError
from workers.launchers.launcher import Job


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "launchers.toml"


def test_without_a_file_there_is_this_machine(file: Path) -> None:
    assert [(name, table.engine) for name, table in config.read(file).items()] == [("local", "local")]


def test_this_machine_may_be_given_more_processes(file: Path) -> None:
    file.write_text('[local]\nengine = "local"\nprocesses = 4\n')
    command = config.chosen(file, "local", Engine.LOCAL).submission(Job(1, 1, Path("/r/1")))
    assert "--nproc-per-node 4 -m rlhf spec /r/1" in command


def test_what_a_cluster_is_asked_for_stands_in_its_script(file: Path) -> None:
    file.write_text(
        '[h100]\nengine = "slurm"\nnodes = 2\nprocesses = 8\npartition = "gpu"\naccount = "med"\n'
        'time_limit = "1-00:00:00"\nmemory = "900G"\nextra = ["--exclusive", "--constraint=h100"]\n'
    )
    script = config.chosen(file, "h100", Engine.SLURM).submission(Job(1, 1, Path("/r/1")))
    options = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]
    assert {"--nodes=2", "--partition=gpu", "--account=med", "--time=1-00:00:00", "--gpus-per-node=8", "--mem=900G",
            "--exclusive", "--constraint=h100", "--requeue", "--signal=B:USR1@120"} <= set(options)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "is no TOML"),
        ('["A b"]\nengine = "local"', "[A b] is no name of a launcher: write it in small letters"),
        ('[a]\nengine = "lsf"', "[a] engine must be one of local, hosts, slurm, ray, kubernetes"),
        ("[a]\nnodes = 2", "[a] engine must be one of"),
        ('[a]\nengine = "slurm"\npartiton = "x"', "[a] partiton is no setting of a slurm launcher"),
        ('[a]\nengine = "slurm"\nnodes = 0', "[a] nodes "),
        ('[a]\nengine = "slurm"\npartition = "x; rm"', "[a] partition 'x; rm' is no word that sbatch takes"),
        ('[a]\nengine = "slurm"\ntime_limit = "long"', "[a] time_limit 'long' is no time: write minutes"),
        ('[a]\nengine = "slurm"\nextra = ["-p x"]', "[a] extra '-p x' is no option of sbatch"),
        ('[a]\nengine = "slurm"\nextra = ["--output=x"]', "[a] extra --output is set for every run: leave it out"),
        ('[a]\nengine = "slurm"\nsetup = "a\\nb"', "[a] setup must be one line"),
        ('[a]\nengine = "hosts"\nhosts = ["a"]', "[a] hosts "),
        ('[a]\nengine = "hosts"\nhosts = ["a", "-oProxyCommand=x"]', "'-oProxyCommand=x' is no name of a host"),
        ('[a]\nengine = "hosts"\nhosts = ["a", "a"]', "names a host twice: raise processes"),
        ('[a]\nengine = "ray"\naddress = "ray-head"', "'ray-head' is no address of Ray: write it as http"),
        ('[a]\nengine = "ray"\naddress = "http://h"\nnodes = 2', "[a] nodes "),
        ('[a]\nengine = "ray"\naddress = "http://h"\nprocesses = 2\ngpus = 1', "make them equal"),
        ('[a]\nengine = "kubernetes"\nclaim = "c"\nmount = "/h"', "[a] image is missing: add it"),
        ('[a]\nengine = "kubernetes"\nimage = "i"\nclaim = "c"\nmount = "h"', "'h' is no absolute path"),
        ('[local]\nengine = "ray"\naddress = "http://h"', "[local] is this machine"),
    ],
)
def test_what_cannot_be_is_said_with_its_place_and_its_mend(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(LaunchersError) as refused:
        config.read(file)
    assert str(file) in str(refused.value)
    assert said in str(refused.value)


def test_a_launcher_that_became_another_engine_carries_no_run_of_before(file: Path) -> None:
    file.write_text('[a]\nengine = "slurm"')
    with pytest.raises(LaunchersError, match="was of the engine ray when this run was started"):
        config.chosen(file, "a", Engine.RAY)
    with pytest.raises(LaunchersError, match="names no launcher b"):
        config.chosen(file, "b", Engine.RAY)


def test_a_launcher_is_not_touched_by_what_is_wrong_with_another(file: Path) -> None:
    file.write_text('[a]\nengine = "slurm"\n[b]\nengine = "lsf"\n')
    assert config.named(file, "a").engine == "slurm"
    assert config.named(file, "local").engine == "local"
    with pytest.raises(LaunchersError, match=rf"^{file}: \[b\] engine must be one of"):
        config.named(file, "b")


@pytest.mark.parametrize("text", [b'[a\nengine = "local"', b'[a]\nsetup = "\xff"'])
def test_this_machine_needs_no_file_that_can_be_read_unless_it_stands_there(file: Path, text: bytes) -> None:
    file.write_bytes(text)
    assert config.named(file, "local") == config.LocalTable(engine="local")
    for table in (b"\n[local]\nprocesses = 4", b'\n [ "local" ]\n', b"\nlocal.processes = 4"):
        file.write_bytes(text + table)
        with pytest.raises(LaunchersError, match="is no TOML"):
            config.named(file, "local")
