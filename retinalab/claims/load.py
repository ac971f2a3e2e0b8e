"""From a paper's ``claims.yaml`` to its claims, every reference checked; experiments are validated, never run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from retinalab.claims.claim import WAYS, Claim, laid_together
from retinalab.claims.file import ClaimsFile
from retinalab.documents import PlainLoader, read_yaml
from retinalab.errors import RetinalabError, unknown
from retinalab.experiment import load_experiment, resolve_model
from retinalab.registry import paper

__all__ = ["check_experiments", "claims_file", "load_claims"]


def claims_file(of: str) -> Path:
    """The file of a paper's claims, beside its experiment files.

    Raises:
        RetinalabError: no such paper, or a paper without claims.
    """
    path = paper(of).experiments / "claims.yaml"
    if not path.is_file():
        raise RetinalabError(
            f"Paper {of!r} states no claims: {path} does not exist. Write one, or reinstall the plugin."
        )
    return path


def load_claims(of: str, path: Path | None = None) -> tuple[Claim, ...]:
    """Every claim of a paper, in the order of its file; :func:`check_experiments` tries their overrides.

    Args:
        of: the paper, as ``retinalab papers`` lists it.
        path: a file in the place of the paper's own.

    Raises:
        RetinalabError: unreadable YAML, a key written twice, an unknown key, column, protocol, cell or experiment, a
            result that neither names what reproduces it nor says why nothing does; one line each.
    """
    path = path or claims_file(of)
    return _claims(_read(path), of, path)


def check_experiments(claims: Iterable[Claim]) -> None:
    """Validate each experiment that claims name, with its overrides, by the configuration alone.

    Raises:
        RetinalabError: one line for each that is refused, with the first claim that names it.
    """
    first: dict[tuple[str, str, tuple[str, ...]], Claim] = {}
    for claim in claims:
        if claim.experiment is not None:
            first.setdefault((claim.paper, claim.experiment, claim.overrides), claim)
    faults: list[str] = []
    for (of, experiment, overrides), claim in first.items():
        try:
            load_experiment(of, experiment, overrides)
        except RetinalabError as error:
            faults += [f"Claim {claim.place} of {of}: {line}" for line in str(error).splitlines()]
    if faults:
        raise RetinalabError(*faults)


def _claims(raw: Any, of: str, path: Path) -> tuple[Claim, ...]:
    if not isinstance(raw, Mapping):
        raise RetinalabError(f"Claims {path} hold no mapping. They need paper and tables.")
    try:
        written = resolve_model(ClaimsFile, raw, "")
    except RetinalabError as error:
        lines = (line.removeprefix(".").replace("mean .", "mean ") for line in str(error).splitlines())
        raise RetinalabError(*(f"{path}: {line}" for line in lines)) from error
    if written.paper != of:
        raise RetinalabError(f"{path}: claims of {written.paper!r}, asked for {of!r}. Correct 'paper'.")
    _check_names(written, paper(of).experiment_names(), path)
    claims = tuple(
        laid_together(of, key, table, row, column, written.protocols)
        for key, table in written.tables.items()
        for row in table.rows
        for column in table.rows[row].values
    )
    return _follow(claims, path)


def _check_names(written: ClaimsFile, experiments: Sequence[str], path: Path) -> None:
    """Columns and protocols that are named must be declared, experiments must have a file."""
    for key, table in written.tables.items():
        for name, row in table.rows.items():
            for column in row.values:
                if column not in table.columns:
                    error = unknown("column", column, table.columns)
                    raise RetinalabError(f"{path}: tables.{key}.rows.{name}: {error}")
            for level in (table, *table.columns.values(), row, *row.values.values()):
                if level.protocol is not None and level.protocol not in written.protocols:
                    error = unknown("protocol", level.protocol, written.protocols)
                    raise RetinalabError(f"{path}: tables.{key}: {error}")
                if level.experiment is not None and level.experiment not in experiments:
                    error = unknown("experiment", level.experiment, experiments)
                    raise RetinalabError(f"{path}: tables.{key}: {error}")


def _follow(claims: tuple[Claim, ...], path: Path) -> tuple[Claim, ...]:
    """What a claim repeats is laid under it; every place that is named must exist."""
    known = {claim.place: claim for claim in claims}
    followed: list[Claim] = []
    for claim in claims:
        named = [one for one in (claim.repeats, *(claim.difference or ())) if one is not None]
        for place in named:
            if place not in known:
                error = unknown("cell", str(place), [str(one) for one in known if one.table == place.table])
                raise RetinalabError(f"{path}: {claim.place}: {error}")
        followed.append(claim if claim.repeats is None else _as_repeated(claim, known[claim.repeats], path))
    for claim in followed:
        ways = (claim.experiment, claim.command, claim.why_not, claim.difference)
        if claim.kind in ("result", "time") and all(way is None for way in ways):
            raise RetinalabError(
                f"{path}: {claim.place}: names no experiment and no command. Add one, or why_not."
            )
    return tuple(followed)


def _as_repeated(claim: Claim, other: Claim, path: Path) -> Claim:
    """The claim with what the repeated one says of its value, and its own place, text, section and doubts."""
    if claim.number != other.number and not claim.doubts:
        raise RetinalabError(
            f"{path}: {claim.place}: prints {claim.published!r}, but repeats {other.place} with {other.published!r}. "
            "Correct one, or say so in doubt."
        )
    own = {name: getattr(claim, name) for name in claim.model_fields_set - WAYS - {"overrides", "doubts"}}
    doubts = tuple(dict.fromkeys((*claim.doubts, *other.doubts)))
    return Claim.model_validate(
        {**{n: getattr(other, n) for n in Claim.model_fields}, **own, "doubts": doubts}
    )


class _Texts(PlainLoader):
    """Reads every scalar as the text that stands there, so that 0.780 stays 0.780, and refuses a key written twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - overrides PyYAML's own attribute of the class

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"key {twice!r} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Any:
    try:
        return read_yaml(path, _Texts)
    except OSError as error:
        raise RetinalabError(f"Claims {path} cannot be read: {error.strerror}. Give another file.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or type(error).__name__
        raise RetinalabError(
            f"Claims {path}{where} are no valid YAML: {reason}. Correct it and try again."
        ) from error
