"""Variables that have no effect but look like settings."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

from config.environment import SECRETS, is_service_link

SIMILARITY = 0.85  # below it, names that other programs use would be warned about
_WITHOUT_EFFECT = {"WEB_THREADS": "it has no effect any more: unset it"}
_OF_OTHERS = re.compile(r"OTEL_|.*(?:_PROXY|SSL_CERT|CA_BUNDLE)", re.IGNORECASE)
_UNIT = re.compile(r"_(?:S|SECS?|SECONDS?|MS|MILLISECONDS|MINUTES|HOURS|DAYS)$")


def find_ignored(
    known: Collection[str], numbers: Collection[str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the names of such variables, each with the reason.

    ``known`` are the names of all settings, ``numbers`` those that take a number.
    """
    names = {*known, *(f"{name}_FILE" for name in SECRETS)}
    # Without PORT and BIND: many a name is near to a short one.
    by_stem = {near: name for name in names for near in (_UNIT.sub("", name), name) if "_" in name}
    ignored: dict[str, str] = {}
    for name, text in environ.items():
        if not text.strip():
            continue
        if name in _WITHOUT_EFFECT:
            ignored[name] = _WITHOUT_EFFECT[name]
        elif name in numbers and is_service_link(text):
            ignored[name] = (
                "it is a service link of Kubernetes and counts as unset: give it a number, "
                "or set enableServiceLinks: false in the pod"
            )
        elif not (name in names or _OF_OTHERS.match(name) or is_service_link(text)):
            stem = _UNIT.sub("", name.upper())
            for near in get_close_matches(stem, by_stem, n=1, cutoff=SIMILARITY):
                ignored[name] = f"no setting has this name: is {by_stem[near]} meant?"
    return ignored
