"""Versions of Channel.io's API, and their differences."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """Facts of one version: ``options`` are those that it accepts in a message."""

    unknown_user_status: int
    refuses_unknown_bots: bool
    options: frozenset[str]


_V4_OPTIONS = frozenset({"private", "silent"})
_OPTIONS = _V4_OPTIONS | {"silentToUser", "silentToManager"}

# By the version in the path; the dated version has none there.
VERSIONS = {
    "v4": VersionFacts(422, refuses_unknown_bots=True, options=_V4_OPTIONS),
    "v5": VersionFacts(422, refuses_unknown_bots=True, options=_OPTIONS),
    None: VersionFacts(404, refuses_unknown_bots=False, options=_OPTIONS),
}
