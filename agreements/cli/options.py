"""The options that commands share, so that a word means the same wherever it recurs."""

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any
from uuid import UUID

import typer

from agreements.messages import Place
from agreements.places import Names
from agreements.selection import Selection, parse_time

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Reveal = Annotated[
    bool, typer.Option("--reveal", help="Show personal data: bodies, and the publisher's properties.")
]
Why = Annotated[
    str,
    typer.Option(metavar="TEXT", help="Why; kept in the audit record and on each copy sent. Name no person."),
]

_PLACES = "rejections, duplicates, dead-letters (of all queues), retries, or a queue's own path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The filters as they were given.

    Attributes:
        told: all of them as one text, equal for equal filters.
    """

    sources: tuple[str, ...]
    selection: Selection
    limit: int | None
    told: str

    def places(self, names: Names, default: Sequence[str]) -> list[Place]:
        """Return the places that were named, or those of ``default``."""
        try:
            found = [place for name in self.sources or default for place in names.places(name)]
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--from") from None
        return list(dict.fromkeys(found))


def filters(
    source: Annotated[
        list[str] | None, typer.Option("--from", metavar="PLACE", help=f"Where: {_PLACES}. Repeatable.")
    ] = None,
    reason: Annotated[
        list[str] | None, typer.Option(metavar="REASON", help="Only this reason. Repeatable.")
    ] = None,
    error_code: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Only this error code of Partner Center. Repeatable."),
    ] = None,
    customer: Annotated[
        UUID | None, typer.Option(metavar="GUID", help="Only this customer, by its tenant id.")
    ] = None,
    event_id: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this event. Repeatable.")
    ] = None,
    sequence_number: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Only this message of its queue. Repeatable.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Enqueued since: ISO 8601, or ago: 90s, 15m, 2h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Enqueued before.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="PROPERTY=VALUE", help="Only with this application property. Repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="No more than so many.")] = None,
) -> Filters:
    """Return the filters that the options give."""
    now = datetime.now(UTC)
    given = {name: value for name, value in locals().items() if name != "now" and value}
    selection = Selection(
        reasons=frozenset(text.casefold() for text in reason or ()),
        error_codes=frozenset(error_code or ()),
        customer=str(customer) if customer else None,
        event_ids=frozenset(event_id or ()),
        sequence_numbers=frozenset(sequence_number or ()),
        since=_time(since, now, "--since"),
        until=_time(until, now, "--until"),
        where=dict(_pair(text) for text in where or ()),
    )
    told = json.dumps(given, default=str, sort_keys=True)
    return Filters(sources=tuple(source or ()), selection=selection, limit=limit, told=told)


def filtered[T](command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the filters' options; it gets them as its first argument."""
    shared = inspect.signature(filters).parameters
    [_, *own] = inspect.signature(command).parameters.values()

    @wraps(command)
    def with_filters(**given: Any) -> T:
        chosen = filters(**{name: given.pop(name) for name in shared})
        return command(chosen, **given)

    keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in shared.values()]
    arguments = [one for one in own if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    options = [one for one in own if one.kind is inspect.Parameter.KEYWORD_ONLY]
    with_filters.__signature__ = inspect.Signature([*arguments, *keyword, *options])  # type: ignore[attr-defined]  # what typer reads
    return with_filters


def _time(text: str | None, now: datetime, option: str) -> datetime | None:
    try:
        return None if text is None else parse_time(text, now)
    except (ValueError, OverflowError):
        raise typer.BadParameter("neither ISO 8601 nor such as 90s, 15m, 2h, 7d", param_hint=option) from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{name} lacks its =VALUE", param_hint="--where")
    return name, value
