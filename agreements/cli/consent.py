"""The command by which a person consents."""

import json
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from agreements import doctor, loopback, settings, toolbox
from agreements.cli import talk
from agreements.consent import Consented
from agreements.errors import AgreementsError, ConsentError, DeploymentError, SettingsError
from agreements.loopback import Loopback
from agreements.settings import ConsentSettings, TokenSettings

_NAME = "agreements-consent"
_NO_CREDENTIAL = """\
A sign-in is redeemed with a credential of the app registration. In Azure that
is the managed identity, which no other machine can use. Here it is a client
secret or a certificate that lives for a day; make one of the two:

  app={client_id}
  export PARTNER_CLIENT_SECRET="$(az ad app credential reset --id $app \\
    --append --display-name {name} --end-date {tomorrow} \\
    --query password --output tsv)"

  app={client_id}
  export PARTNER_CLIENT_CERTIFICATE="$(az ad app credential reset --id $app \\
    --append --display-name {name} --end-date {tomorrow} \\
    --create-cert --query fileWithCertAndPrivateKey --output tsv)"

Without --append every other credential of the app would be deleted. Then run
agreements consent again; in the end it says how to delete this one.
"""
_SIGN_IN = """\
Sign in with MFA, as the service user of the partner's tenant
{tenant_id}:

{address}

{how}
Over SSH: log in with ssh -L {port}:localhost:{port} HOST, and open it locally.
If the page says AADSTS50011, register {redirect_uri} once,
beside what is registered:

  app={client_id}
  az ad app update --id $app --web-redirect-uris {redirect_uri} \\
    $(az ad app show --id $app --query web.redirectUris --output tsv)

Waiting for {minutes:g} minutes; Ctrl-C gives up."""
_NEXT = """
From now on the function app renews the refresh token every day; agreements
doctor checks it. Events that waited for a token go on by themselves;
agreements retries release makes it at once."""
_CLEAN_UP = """
A credential that was made for this sign-in is to be deleted when it is over:

  app={client_id}
{delete}"""
_DELETE_FROM_MEMORY = """\
  az ad app credential delete --id $app --key-id "$(az ad app \\
    credential list --id $app --output tsv \\
    --query "[?displayName=='{name}'].keyId | [0]")"
  unset PARTNER_CLIENT_SECRET"""
_DELETE_FILE = """\
  az ad app credential delete --id $app --cert --key-id "$(az ad app \\
    credential list --id $app --cert --output tsv \\
    --query "[?contains(displayName, '{name}')].keyId | [0]")"
  rm "$PARTNER_CLIENT_CERTIFICATE"; unset PARTNER_CLIENT_CERTIFICATE"""


def consent(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of this machine to which the browser comes back.")
    ] = 8400,
    browser: Annotated[bool, typer.Option(help="Open the browser here, or only print the address.")] = True,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to wait for the sign-in.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Sign in with MFA for the function app, and keep the consent in Key Vault.

    Needs PARTNER_TENANT_ID, PARTNER_CLIENT_ID, KEY_VAULT_URL and
    REFRESH_TOKEN_SECRET_NAME; and while signing in PARTNER_CLIENT_SECRET or
    PARTNER_CLIENT_CERTIFICATE: without, this says how to make one. The vault
    is written as whoever is signed in with az login, who needs the role Key
    Vault Secrets Officer there. A sign-in without MFA, of another tenant or
    without the permission is refused and nothing is stored.

    Exit code 0 when it is stored, 1 when it failed, 2 when a setting is
    missing, 5 when the sign-in was refused.

    Example: agreements consent --no-browser
    """
    talk.silence()
    given = _settings()
    try:
        consented = _sign_in(given, port, browser=browser, minutes=minutes)
    except AgreementsError as error:
        code = _fail(error, as_json=as_json)
    except KeyboardInterrupt:
        talk.say("\nGiven up. agreements doctor tells which refresh token is in use.")
        code = 130
    else:
        typer.echo(_object(given, consented) if as_json else _kept(given, consented))
        talk.say(_NEXT)
        code = 0
    delete = _DELETE_FILE if given.token.client_secret is None else _DELETE_FROM_MEMORY
    talk.say(_filled(_CLEAN_UP, given.token, delete=_filled(delete, given.token)))
    raise typer.Exit(code)


def _settings() -> ConsentSettings:
    try:
        given = settings.read(ConsentSettings)
    except SettingsError as error:
        talk.tell(f"{error}\nSet them as the table of settings in README.md says.")
        raise typer.Exit(2) from None
    if given.refresh_token.vault_url is None:
        talk.say(
            "PARTNER_REFRESH_TOKEN is for one machine and stands in the way: unset it, and set\n"
            "KEY_VAULT_URL and REFRESH_TOKEN_SECRET_NAME to where the consent is to be kept."
        )
        raise typer.Exit(2)
    if given.token.client_secret is None and given.token.client_certificate is None:
        talk.say(_filled(_NO_CREDENTIAL, given.token))
        raise typer.Exit(2)
    return given


def _filled(text: str, given: TokenSettings, **values: object) -> str:
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    known = {"client_id": given.client_id, "tenant_id": given.tenant_id, "name": _NAME, "tomorrow": tomorrow}
    return text.format(**known, **values)


def _sign_in(given: ConsentSettings, port: int, *, browser: bool, minutes: float) -> Consented:
    consent = toolbox.consent(given, 60 * minutes)
    with _listening(port) as redirects, talk.working() as working:

        def show(address: str) -> None:
            working(None)
            how = _opened(address) if browser else "Open it in a browser on this machine."
            facts = {"redirect_uri": redirects.url, "port": redirects.port, "minutes": minutes, "how": how}
            talk.say(_filled(_SIGN_IN, given.token, address=address, **facts))
            working("waiting for the sign-in")

        working("checking the key vault and the credential")
        return consent(redirects, show)


@contextmanager
def _listening(port: int) -> Iterator[Loopback]:
    with ExitStack() as stack:
        try:
            redirects = stack.enter_context(loopback.listening(port))
        except OSError as error:
            message = f"port {port} of this machine cannot be listened on: {error.strerror}"
            advice = "Is another sign-in open? End it, or name another port by --port."
            raise DeploymentError(message, advice) from None
        yield redirects


def _opened(address: str) -> str:
    if webbrowser.open(address):
        return "A browser opens it now; if none does, open it in one on this machine."
    return "There is no browser here: open it in one that can reach this machine."


def _fail(error: AgreementsError, *, as_json: bool) -> int:
    advice, reason = doctor.advice(error), doctor.reason(error)
    if as_json:
        said = {"consented": False, "detail": doctor.told(error), "advice": advice, "reason": reason}
        typer.echo(json.dumps(said))
    refused = isinstance(error, ConsentError)
    talk.tell(f"{'Refused, nothing was stored' if refused else 'Failed'}: {doctor.told(error)}.\n{advice}")
    return 5 if refused else 1


def _object(given: ConsentSettings, consented: Consented) -> str:
    return json.dumps(
        {
            "consented": True,
            "user": consented.user,
            "tenantId": str(given.token.tenant_id),
            "vaultUrl": given.refresh_token.vault_url,
            "secretName": given.refresh_token.secret_name,
            "version": consented.version,
            "expires": consented.expires.isoformat(timespec="seconds"),
        }
    )


def _kept(given: ConsentSettings, consented: Consented) -> str:
    where = f"{given.refresh_token.secret_name} in {given.refresh_token.vault_url}"
    until = f"{consented.expires:%Y-%m-%d}"
    return f"{consented.user} consented with MFA.\nKept as {where}, good until {until}."
