"""The page at ``/``: the ledger and the last calls, for a person; plain HTML that loads itself anew.

What is here is data of samples on one machine, so nothing of it is masked.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from local.partner_center.ledger import Entry
from local.partner_center.options import Options
from local.partner_center.recent import Call

SHOWN = 100
_SECONDS = 2
# Beside what a browser does by itself: room between the columns, and which calls went wrong.
_STYLE = (
    ":root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{margin:2rem}"
    "table{border-collapse:collapse}caption{text-align:left;font-weight:600}"
    "td,th{padding:.15rem 1rem .15rem 0;text-align:left;vertical-align:top}"
    "th{border-bottom:1px solid}td{font-variant-numeric:tabular-nums}code{font-size:.85em}"
)
_HEAD = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="{_SECONDS}">
<meta name="viewport" content="width=device-width">
<title>Partner Center on this machine</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Partner Center on this machine</h1>
"""
_ENTRY = ("recorded at", "customer", "agreed on", "type", "name", "e-mail", "phone", "MS-RequestId")
_CALL = ("at", "status", "ms", "call", "MS-RequestId", "MS-CorrelationId")


def page(entries: Sequence[Entry], recorded: int, calls: Iterable[Call], options: Options) -> str:
    """Return the page.

    Args:
        entries: What to show of the ledger, newest first.
        recorded: How many it has in all.
        calls: The last calls, newest first.
        options: Those in force; those that are not the default are told.
    """
    calls = list(calls)[:SHOWN]
    ledger = _table(_caption("agreement", recorded, len(entries)), _ENTRY, map(_entry, entries))
    recent = _table(f"The last {len(calls)} calls, newest first", _CALL, map(_call, calls))
    return "\n".join(
        [
            _HEAD,
            _chosen(options),
            ledger if entries else "<p>No agreement is on record.</p>",
            recent if calls else "<p>Nobody has called yet.</p>",
            "</body>\n</html>\n",
        ]
    )


def _caption(what: str, number: int, shown: int) -> str:
    some = f", the newest {shown} of them" if shown < number else ""
    return f"{number} {what}{'' if number == 1 else 's'} on record{some}, newest first"


def _chosen(options: Options) -> str:
    given = options.model_dump(by_alias=True, exclude_defaults=True)
    if not given:
        return ""
    told = ", ".join(f"<code>{_text(f'{name}={_json(value)}')}</code>" for name, value in given.items())
    return f"<p>Chosen: {told}</p>"


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _table(caption: str, names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f"<table>\n<caption>{_text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )


def _entry(entry: Entry) -> list[str]:
    agreement, contact = entry.agreement, entry.agreement.primary_contact
    return [
        _time(entry.recorded_at),
        f"<code>{entry.customer}</code>",
        _text(agreement.date_agreed),
        _text(agreement.type),
        _text(f"{contact.first_name} {contact.last_name}"),
        _text(contact.email),
        _text(contact.phone_number),
        f"<code>{_text(entry.request_id)}</code>",
    ]


def _call(call: Call) -> list[str]:
    return [
        _time(call.at),
        "<strong>cut off</strong>" if call.status is None else _status(call.status),
        f"{call.milliseconds:.0f}",
        f"<code>{_text(f'{call.method} {call.path}')}</code>",
        f"<code>{_text(call.request_id)}</code>",
        f"<code>{_text(call.correlation_id)}</code>",
    ]


def _status(status: int) -> str:
    return str(status) if status < 400 else f"<strong>{status}</strong>"


def _time(instant: datetime) -> str:
    return f'<time datetime="{instant.isoformat()}">{instant:%H:%M:%S} UTC</time>'


def _text(text: str) -> str:
    return escape(text)
