"""Puts the command groups together."""

from typer import Typer

from agreements.cli import consent, contract, doctor

app = Typer(
    help="Confirm customers' acceptance of the Microsoft Customer Agreement: tools around the function app.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command("validate")(contract.validate)
app.command("schema")(contract.schema)
app.command("consent")(consent.consent)
app.command("doctor")(doctor.doctor)
