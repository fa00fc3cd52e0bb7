"""A stand-in for the commands of Slurm and Kubernetes, under whose names it is put on the PATH.

It knows the jobs in ``jobs.json`` beside it and notes each call in ``calls``; what becomes of a job a test says there.
"""

import json
import sys
from pathlib import Path

HERE = Path(sys.argv[0]).parent
COMMAND, ARGUMENTS = Path(sys.argv[0]).name, sys.argv[1:]
OPTIONS = dict(each.partition("=")[::2] for each in ARGUMENTS if each.startswith("--"))


def read() -> dict:
    """What is known: ``away`` and ``refuses`` are what every command or every submission says instead of working."""
    return json.loads((HERE / "jobs.json").read_text())


def say(said: str) -> None:
    """As a command that could."""
    sys.stdout.write(f"{said}\n")


def fail(said: str) -> None:
    """As a command that could not."""
    sys.stderr.write(f"{said}\n")
    raise SystemExit(1)


def after(name: str) -> str:
    """The argument behind an option that is written without a sign between them."""
    return ARGUMENTS[ARGUMENTS.index(name) + 1]


def keep(known: dict) -> None:
    """Writes down what is known now."""
    (HERE / "jobs.json").write_text(json.dumps(known))


def sbatch(known: dict) -> None:
    """Takes a script, and prints the number of its job."""
    script = sys.stdin.read()
    [name] = [line.partition("=")[2] for line in script.splitlines() if line.startswith("#SBATCH --job-name=")]
    number = str(100 + len(known["jobs"]))
    known["jobs"][number] = {"name": name, "state": "PENDING", "code": 0, "script": script}
    keep(known)
    say(number)


def squeue(known: dict) -> None:
    """The jobs that are not forgotten, by name or by number."""
    remembered = {number: job for number, job in known["jobs"].items() if not job.get("forgotten")}
    if "--name" in ARGUMENTS:
        for number, job in remembered.items():
            if job["name"] == after("--name"):
                say(number)
    elif after("--jobs") not in remembered:
        fail("slurm_load_jobs error: Invalid job id specified")
    else:
        job = remembered[after("--jobs")]
        say(f"{job['state']:<32}{job['code']:<12}")


def sacct(known: dict) -> None:
    """Every job that there ever was, unless the cluster keeps no accounts."""
    if known.get("no accounts"):
        fail("Slurm accounting storage is disabled")
    for number, job in known["jobs"].items():
        if "--name" in ARGUMENTS and job["name"] == after("--name"):
            say(number)
        if "--jobs" in ARGUMENTS and number == after("--jobs"):
            say(f"{job['state']}|{job['code'] >> 8}:{job['code'] & 127}")


def scancel(known: dict) -> None:
    """Ends a job."""
    known["jobs"][ARGUMENTS[0]]["state"] = "CANCELLED"
    keep(known)


def kubectl(known: dict) -> None:
    """Applies, shows and deletes jobs and shows pods, as JSON."""
    verb = [each for each in ARGUMENTS if not each.startswith("--")]
    if verb[0] == "apply":
        for item in json.load(sys.stdin)["items"]:
            if item["kind"] == "Job":
                known["jobs"].setdefault(item["metadata"]["name"], {**item, "status": {}, "pods": []})
        keep(known)
    elif verb[:2] == ["get", "pods"]:
        name = OPTIONS["--selector"].partition("=")[2]
        say(json.dumps({"items": known["jobs"][name]["pods"]}))
    elif verb[:2] == ["get", "job"] and verb[2] in known["jobs"]:
        say(json.dumps(known["jobs"][verb[2]]))
    elif verb[0] == "delete":
        known["jobs"].pop(verb[2], None)
        keep(known)


if __name__ == "__main__":
    now = read()
    with (HERE / "calls").open("a") as calls:
        calls.write(json.dumps([COMMAND, *ARGUMENTS]) + "\n")
    if now.get("away"):
        fail(now["away"])
    if now.get("refuses") and (COMMAND == "sbatch" or "apply" in ARGUMENTS):
        fail(now["refuses"])
    globals()[COMMAND](now)
