"""What every command needs of the command line, found when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import click

from console.cli import profiles
from console.cli.client import Client
from console.cli.profiles import Given, Profile, Profiles


@dataclass
class Session:
    """The file of profiles, what the options say, and the client that both lead to."""

    path: Path
    given: Given = field(default_factory=Given)

    @cached_property
    def profiles(self) -> Profiles:
        """What the file holds."""
        if profiles.is_readable_for_others(self.path):
            click.echo(f"slipway: {self.path} holds tokens and others may read it: chmod 600 it.", err=True)
        return profiles.load(self.path)

    @cached_property
    def profile(self) -> Profile:
        """The Slipway and the person this command is for."""
        return profiles.resolve(self.given, self.profiles)

    @cached_property
    def client(self) -> Client:
        """Asks that Slipway as that person."""
        return Client(self.profile)


pass_session = click.make_pass_decorator(Session)
