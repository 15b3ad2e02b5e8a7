"""The command line as a whole: options that hold for every verb, and the verbs."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from console.cli.commands import configuring, looking, services, talking, verbs
from console.cli.options import complete_profile, given_by, late_profile_option, path_of
from console.cli.session import Session

#: eascmd's longer and other spellings (eas.md §4.4).
ALIASES = {"list": "ls", "describe": "desc", "showworkers": "w"}


def installed_version() -> str:
    """The version that is installed; where nothing is, as with ``python -m console.cli``, the folder's own."""
    try:
        return version("slipway")
    except PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


class Verbs(click.Group):
    """Verbs by their names, and by eascmd's other spellings of them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, whichever way it is spelled."""
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-p",
    "--profile",
    envvar="SLIPWAY_PROFILE",
    shell_complete=complete_profile,
    help="Use this profile of the file. [env: SLIPWAY_PROFILE]",
)
@click.option("--url", envvar="SLIPWAY_URL", help="Slipway's address. [env: SLIPWAY_URL]")
@click.option("--token", envvar="SLIPWAY_TOKEN", help="A personal access token. [env: SLIPWAY_TOKEN]")
@click.option("--region", envvar="SLIPWAY_REGION", help="The region of the services. [env: SLIPWAY_REGION]")
@click.option(
    "-c",
    "--config",
    envvar="SLIPWAY_CONFIG",
    type=click.Path(dir_okay=False),
    help="The file of profiles. [env: SLIPWAY_CONFIG]",
)
@click.version_option(installed_version(), prog_name="slipway", message="%(prog)s %(version)s")
@click.pass_context
def slipway(context: click.Context, /, config: str | None, **given: str | None) -> None:
    """Deploy large language models with Slipway and talk with them."""
    context.obj = Session(path_of(config), given_by(given))


for command in (
    services.create,
    services.modify,
    services.list_services,
    services.describe,
    verbs.stop,
    verbs.start,
    verbs.restart,
    verbs.release,
    verbs.delete,
    verbs.version,
    looking.logs,
    looking.events,
    looking.workers,
    talking.chat,
    talking.invoke,
):
    command.params.append(late_profile_option())
    slipway.add_command(command)
slipway.add_command(configuring.config)
slipway.add_command(configuring.completion)
