"""Puts the command groups together."""

from typer import Typer

from agreements.cli import (
    consent,
    contract,
    customers,
    doctor,
    events,
    parked,
    publish,
    receipt,
    replay,
    transfer,
)

app = Typer(
    help="Confirm customers' acceptance of the Microsoft Customer Agreement: tools around the function app.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # paragraphs fold to the width at hand
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command("validate")(contract.validate)
app.command("schema")(contract.schema)
app.command("publish")(publish.publish)
app.command("receipt")(receipt.receipt)
app.command("consent")(consent.consent)
app.command("doctor")(doctor.doctor)
app.command("trace")(events.trace)
app.command("status")(customers.status)

_parked = Typer(no_args_is_help=True)
app.add_typer(_parked, name="parked", help="What waits for a person: look, plan, replay, mend, discard.")
_parked.command("list")(parked.list_)
_parked.command("groups")(parked.groups)
_parked.command("show")(parked.show)
_parked.command("plan")(replay.plan)
_parked.command("replay")(replay.replay)
_parked.command("export")(transfer.export)
_parked.command("import")(transfer.import_)
_parked.command("discard")(replay.discard)

_retries = Typer(no_args_is_help=True)
app.add_typer(_retries, name="retries", help="What is scheduled to be tried again.")
_retries.command("release")(replay.release)
