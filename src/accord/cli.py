"""The sub-commands of a project's command line, as `digits check` or `python -m digits check`."""

import argparse
from pathlib import Path
from pkgutil import resolve_name
from typing import NoReturn

from accord.paths import given
from accord.process import require_project, run_command

_DESCRIPTION = """\
Keep DVC, Hydra and MLflow in agreement.

Other commands run the work: `dvc repro` runs the pipeline, `dvc exp run -S KEY=VALUE` an experiment,
and `python -m {name}.sweep -m KEY=VALUE,VALUE` a sweep.
"""


def run(name: str) -> NoReturn:
    """Run the sub-command that the command line names, for the package `name` of a project."""

    def main() -> None:
        arguments = vars(_parser(name).parse_args())
        if arguments.pop("in_project", True):
            require_project()
        resolve_name(arguments.pop("run"))(**arguments)

    run_command(main, needs_project=False)  # `main` asks for it, once it knows the sub-command


def _parser(name: str) -> argparse.ArgumentParser:
    """Return the parser; `run` names a sub-command's function, whose module is imported only when it is called."""
    description = _DESCRIPTION.format(name=name)
    parser = argparse.ArgumentParser(name, description=description, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: str, purpose: str, **defaults: bool) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=purpose)
        added.set_defaults(run=run, **defaults)
        return added

    check = command("check", "accord.integrity.check:check", "find damaged files in DVC's cache, outputs and remotes")
    repair = "remove or restore damaged files; `dvc repro` then makes the missing ones"
    check.add_argument("--repair", action="store_true", help=repair)
    check.add_argument("--quick", action="store_true", help="trust files whose size and time are those that DVC noted")
    remote = "check a DVC remote instead; without NAME the default one"
    check.add_argument("--remote", nargs="?", const="", metavar="NAME", help=remote)

    command("compose", "accord.compose:write_params", "compose conf/ into params.yaml, which all other stages read")

    purpose = "check a team's tracking server for the usual mistakes"
    server = command("check-server", "accord.server.check_server:check_server", purpose, in_project=False)
    address = "the server, by default the configured one"
    server.add_argument("uri", metavar="URI", nargs="?", type=_server, default="", help=address)

    purpose = "copy MLflow's local runs, models and artifacts to a server's store"
    move = command("move-store", "accord.server.move_store:move_store", purpose, in_project=False)
    move.add_argument("target", metavar="DATABASE", help="the server's database: postgresql://USER@HOST/NAME")
    move.add_argument(
        "destination",
        metavar="ARTIFACTS",
        help="the server's store of artifacts: an absolute folder or s3://BUCKET/FOLDER",
    )
    move.add_argument("--source", type=given, default=Path("mlflow.db"), help="the database to move (%(default)s)")

    purpose = "write a trial's values as an experiment file of the pipeline"
    promote = command("promote", "accord.promote:promote", purpose)
    source = "a trial's or sweep's MLflow run id, or a sweep's folder"
    promote.add_argument("source", metavar="TRIAL", help=source)
    promote.add_argument("--name", help="name of the file conf/experiment/NAME.yaml; by default made from the values")

    purpose = "run what is missing of a sweep that was stopped or had failures"
    resume = command("resume", "accord.sweep.app:resume", purpose)
    resume.add_argument("folder", type=given, help="the sweep's folder, as sweeps/2026-11-25_07-30-12")

    purpose = "write conf/.schema.json, by which editors complete and check the files in conf/"
    command("schema", "accord.schema:write_schema", purpose)

    command("sync", "accord.sync:sync", "log to MLflow the results that DVC restored from its cache")
    return parser


def _server(uri: str) -> str:
    """Return the address of a server, the configured one for an empty text."""
    if uri:
        return uri
    from accord.settings import load_tracking
    from accord.tracking.store import tracking_uri

    require_project()
    return tracking_uri(load_tracking())
