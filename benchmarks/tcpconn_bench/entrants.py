"""Who takes part in a comparison: from the names that were asked for to the subjects that can be measured here.

Knows names and what subjects say of themselves; starts nothing and measures nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from tcpconn_bench import variants
from tcpconn_bench.results import Record
from tcpconn_bench.subjects import ASYNCIO, FLOORS, FURTHER_FLOORS, PEERS, PLAIN, UVLOOP, find
from tcpconn_bench.subjects.base import Candidate, Traits, is_within_one_process, traits_of

__all__ = ["Entrant", "Names", "UsageError", "choose"]


_ENDINGS = {"blocking": "", "asyncio": ASYNCIO, "uvloop": UVLOOP}
"""What the name of a backend has at its end that is used by an API."""


class UsageError(ValueError):
    """A name that was asked for does not exist, or a setting is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What was asked for.

    Attributes:
        backends: names of backends of tcpconn.
        apis: which of its APIs each is used by: "blocking", "asyncio", and "uvloop" for the latter on that event loop.
        variants: keys of variants, as `tcp:busy_poll=0`; their backends take part with them.
        peers: names of peers, or what several names begin with: "grpc" for `grpc-unary` and `grpc-stream`; "all" for all.
        subjects: further subjects: floors and peers by name, others as `module:name`.
        floors: whether each backend's floor is measured with it.
        further_floors: whether its further floors are, too.
    """

    backends: tuple[str, ...]
    apis: tuple[str, ...]
    variants: tuple[str, ...]
    peers: tuple[str, ...]
    subjects: tuple[str, ...]
    floors: bool
    further_floors: bool


@dataclass(slots=True)
class Entrant:
    """A subject on its way through the comparison.

    Attributes:
        key: the name by which its processes find it.
        record: what is known of it so far.
        traits: what is particular about it.
        within_one_process: whether it has one process in place of two.
    """

    key: str
    record: Record
    traits: Traits
    within_one_process: bool


def choose(names: Names) -> tuple[list[Entrant], dict[str, str]]:
    """Return the subjects to measure, each backend before its variants and floors, and why others are not.

    Raises:
        UsageError: a name does not exist, a setting is wrong, or two subjects have the same name.
    """
    entrants: list[Entrant] = []
    skipped: dict[str, str] = {}
    for key, variant in _keys(names).items():
        subject, reason = _find(key, names)
        if reason is not None:
            skipped[subject.name] = reason
        elif any(entrant.record.name == subject.name for entrant in entrants):
            raise UsageError(f"two subjects are called {subject.name!r}")
        else:
            record = Record(subject.name, subject.role, subject.floor)
            if variant is not None:
                record.variant_of, record.changes = variant.base, dict(variant.settings)
            entrants.append(Entrant(key, record, traits_of(subject), is_within_one_process(subject)))
    return entrants, skipped


def _keys(names: Names) -> dict[str, variants.Variant | None]:
    """Return the keys of all subjects in order, each once, those of variants with what they change."""
    try:
        changed = [variants.parse(key) for key in dict.fromkeys(names.variants)]
    except ValueError as error:
        raise UsageError(str(error)) from error
    backends = [backend + _ENDINGS[api] for backend in names.backends for api in names.apis]
    peers = [peer for name in names.peers for peer in _peers(name)]
    keys: dict[str, variants.Variant | None] = {}
    for subject in (*backends, *(variant.base for variant in changed), *peers, *names.subjects):
        keys.setdefault(subject, None)
        keys.update((variant.key, variant) for variant in changed if variant.base == subject)
        if names.floors and subject in FLOORS:
            keys.setdefault(FLOORS[subject], None)
        if names.further_floors:
            keys.update(dict.fromkeys(FURTHER_FLOORS.get(subject, ())))
    return keys


def _peers(name: str) -> list[str]:
    """Return the keys of the peers that a name stands for."""
    plain = name.removesuffix(UVLOOP)
    if name == "all":
        return list(PEERS)
    if plain in PEERS and plain != name:
        return [name]
    found = [peer for peer in PEERS if peer == name or peer.startswith(f"{name}-")]
    if not found:
        raise UsageError(f"there is no peer {name!r}; there are {', '.join(PEERS)}")
    return found


def _find(key: str, names: Names) -> tuple[Candidate, str | None]:
    """Return a subject, and why it cannot be measured here, or None."""
    backend = key.removesuffix(ASYNCIO).removesuffix(UVLOOP)
    if backend in names.backends and (":" in key or backend in PLAIN | PEERS):
        raise UsageError(f"{key!r} is no backend of tcpconn; name further subjects with --subject")
    try:
        subject = find(key)
        return subject, subject.unavailable()
    except ValueError as error:
        raise UsageError(str(error)) from error
