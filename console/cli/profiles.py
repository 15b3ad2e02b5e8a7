"""Where Slipway is and who is asking: named profiles in one file of the person's configuration folder.

The file is an INI file that only its owner may read, for it holds tokens:

    [slipway]
    current = default

    [profile default]
    url = http://127.0.0.1:8000
    token = slp_...
"""

from __future__ import annotations

import configparser
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from console.cli.errors import CliError, ExitCode, usage

DEFAULT_NAME = "default"
DEFAULT_URL = "http://127.0.0.1:8000"
_SECTION = "profile "


@dataclass(frozen=True, slots=True)
class Profile:
    """One Slipway and one person there. ``region`` and ``workspace`` are "" where Slipway is to choose."""

    url: str
    token: str = field(default="", repr=False)
    region: str = ""
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class Profiles:
    """What the file holds. ``current`` may name a profile that is not there: then there is none."""

    current: str = DEFAULT_NAME
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    def with_profile(self, name: str, profile: Profile) -> Profiles:
        """With this one added or replaced; it becomes the current one."""
        return Profiles(name, {**self.by_name, name: profile})

    def without(self, name: str) -> Profiles:
        """Without one; where it was the current one, the first that is left is."""
        left = {key: value for key, value in self.by_name.items() if key != name}
        current = self.current if self.current in left else next(iter(left), DEFAULT_NAME)
        return Profiles(current, left)

    def get(self, name: str) -> Profile:
        """A profile by name. Raises ``CliError`` naming those there are."""
        if name not in self.by_name:
            known = ", ".join(self.by_name) or "none"
            raise usage(
                f"There is no profile {name}. There are: {known}. Make one with slipway config --profile {name}."
            )
        return self.by_name[name]


def default_path(variables: Mapping[str, str]) -> Path:
    """The file by the XDG rules: an absolute ``XDG_CONFIG_HOME``, else ``~/.config``."""
    base = variables.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".config"
    return folder / "slipway" / "profiles.ini"


def check_name(name: str) -> str:
    """A profile's name as it may stand in the file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise usage(f"{name!r} is no name for a profile. Use letters, digits, dots, hyphens and underscores.")
    return name


def check_url(value: str) -> str:
    """An address of Slipway: scheme, host and port, without a slash at the end."""
    text = value.strip().rstrip("/").removesuffix("/api/v2")
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        is_good = False
    if not is_good or "@" in parts.netloc or parts.query or parts.fragment or not text.isprintable() or " " in text:
        raise usage(f"{value!r} is no address of Slipway. Use one such as {DEFAULT_URL}.")
    return text


def check_token(value: str) -> str:
    """A token as it may stand in a header."""
    text = value.strip()
    if not re.fullmatch(r"[!-~]+", text):
        raise usage("The token is empty, or holds characters that no token has. Copy it again.")
    return text


def load(path: Path) -> Profiles:
    """What the file says; no file is no profiles. Raises ``CliError`` where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Profiles()
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"The profile file {path} cannot be read: {reason_of(error)}.") from error
    parser = _parser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        first = str(error).splitlines()[0]
        raise usage(f"The profile file {path} is damaged: {first} Correct it, or remove it.") from error
    found = {
        section.removeprefix(_SECTION): _profile_of(parser[section], path)
        for section in parser.sections()
        if section.startswith(_SECTION)
    }
    return Profiles(parser.get("slipway", "current", fallback=DEFAULT_NAME), found)


def save(path: Path, profiles: Profiles) -> None:
    """Write the file in one step, readable for its owner alone."""
    parser = _parser()
    parser["slipway"] = {"current": profiles.current}
    for name, profile in profiles.by_name.items():
        values = {
            "url": profile.url,
            "token": profile.token,
            "region": profile.region,
            "workspace": profile.workspace,
        }
        parser[f"{_SECTION}{check_name(name)}"] = {key: value for key, value in values.items() if value}
    path = path.resolve()  # where it is a link, as in a folder of dotfiles, it stays one
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file 0600, so the tokens are never readable for others, not for a moment.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                parser.write(file)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise usage(f"The profile file {path} cannot be written: {reason_of(error)}.") from error


def is_readable_for_others(path: Path) -> bool:
    """Whether the file's mode lets anybody else see the tokens in it."""
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Given:
    """What the options and the environment say, None where they say nothing."""

    profile: str | None = None
    url: str | None = None
    token: str | None = None
    region: str | None = None


def resolve(given: Given, profiles: Profiles) -> Profile:
    """The one to use. A profile's token goes to that profile's address only, never to another one that is given."""
    name = given.profile or profiles.current
    stored = profiles.get(name) if given.profile else profiles.by_name.get(name)
    url = check_url(given.url or (stored.url if stored else DEFAULT_URL))
    if stored is None or url != stored.url:
        stored = Profile(url)
    token = check_token(given.token) if given.token else stored.token
    if not token:
        raise CliError(
            f"There is no token for {url}. Run slipway config, or set SLIPWAY_TOKEN.", "no_token", ExitCode.USAGE
        )
    return replace(stored, token=token, region=given.region or stored.region)


def reason_of(error: Exception) -> str:
    """An operating system's error without its number and path."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _parser() -> configparser.RawConfigParser:
    # No section is special: a profile may be called DEFAULT.
    return configparser.RawConfigParser(default_section="\0", comment_prefixes=("#", ";"))


def _profile_of(section: configparser.SectionProxy, path: Path) -> Profile:
    if not section.get("url"):
        raise usage(f"The profile file {path} has no url in [{section.name}]. Run slipway config.")
    return Profile(
        url=check_url(section["url"]),
        token=section.get("token", ""),
        region=section.get("region", ""),
        workspace=section.get("workspace", ""),
    )
