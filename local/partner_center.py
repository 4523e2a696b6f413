"""Partner Center on one machine: the agreements API, and everything by which an app signs in to it."""

import argparse
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from local import api, parts, sign_in, tls
from local.confirmations import Confirmations, Replay
from local.faults import Faults
from local.ledger import Ledger
from local.sign_in import CREDENTIALS, Credential, Ports

_PORT = 8443
_PORTS = Ports(entra=8444, key_vault=8445, identity=8446)
_DESCRIPTION = """\
Partner Center's agreements API, the Entra ID that it believes, a Key Vault, and a managed identity endpoint,
on this machine; all but the last over https.
Once they answer, one line of JSON tells the environment variables that lead a client to them.
Every customer is known, except ids that begin with 00000000- (unknown) and ffffffff- (another partner's).
"""
_EPILOG = """\
Steering, without a token, under each part's own URL ($PARTNER_CENTER_URL, $PARTNER_AUTHORITY_URL,
$KEY_VAULT_URL; for the managed identity that of $IDENTITY_ENDPOINT without its path):
  PUT    /_control/faults          a JSON list of rules, tried in order; a call uses up the first it meets
  DELETE /_control/faults          no more faults
  GET    /_control/calls           how often each route gave each status, and the request ids of each body
Partner Center alone:
  GET    /_control/ledger          every recorded agreement, in order
Entra alone:
  GET    /_control/exchanges       how many token requests had which result, by grant
  GET    /_control/directory       who signs in and how, and how long tokens live
  PATCH  /_control/directory       change any of: mfa, upn, tenantId, denied, grantedScopes,
                                   accessTokenSeconds, refreshTokenDays, clockAheadSeconds
  POST   /_control/refresh-tokens  a new refresh token, as after a consent
  DELETE /_control/refresh-tokens  revoke all there are
  POST   /_control/certificates    register one more certificate of the app (PEM)

A rule, every key optional:
  method, pathContains             which calls it meets (any)
  times                            how many of them; null means no end (1)
  probability                      the share of them, from 0 to 1 (1)
  delaySeconds                     wait first (0)
  status, headers, body            the answer in place of the part's own (none: the call goes through)
  drop                             "before": cut the connection; "after": do the work, then cut it
  aadsts                           Entra alone: deny token requests by this number, as Entra says it

Throttle two POSTs, then record one and cut the line:
  curl --cacert "$REQUESTS_CA_BUNDLE" -X PUT "$PARTNER_CENTER_URL/_control/faults" -d '[
    {"method": "POST", "times": 2, "status": 429, "headers": {"Retry-After": "3"}},
    {"method": "POST", "drop": "after"}]'
Let the refresh token be dead from idleness until told otherwise:
  curl --cacert "$REQUESTS_CA_BUNDLE" -X PUT "$PARTNER_AUTHORITY_URL/_control/faults" -d '[
    {"aadsts": 700082, "times": null}]'
"""


@asynccontextmanager
async def serve(
    *,
    port: int = 0,
    ports: Ports = Ports(),  # noqa: B008 - a tuple
    seed: int | None = None,
    certificates: Path | None = None,
    replay: Replay = "refuse",
    credential: Credential = "secret",
) -> AsyncIterator[Mapping[str, str]]:
    """Serve the API and what an app signs in by; yield the environment that leads a client to them.

    Args:
        port: the API's port; 0 takes a free one.
        ports: those of the other parts.
        seed: makes the chance of faults repeatable.
        certificates: where certificates and keys are kept and found again; a temporary folder when absent.
        replay: what a repeated MS-RequestId gets, as ``Confirmations`` tells.
        credential: what the environment lets the app prove itself by; Entra takes all of them.

    Raises:
        OSError: ``EADDRINUSE`` when a port is taken.
    """
    async with AsyncExitStack() as stack:
        folder = certificates or Path(stack.enter_context(TemporaryDirectory()))
        identity = tls.identity(folder)
        signing_in = sign_in.serve(identity.context, folder, ports, credential, seed)
        tokens, environment = await stack.enter_async_context(signing_in)
        ledger = Ledger()
        app = api.application(Confirmations(tokens, ledger, replay=replay), ledger, Faults(seed))
        url = await stack.enter_async_context(tls.listening(app, identity.context, port=port))
        yield {"PARTNER_CENTER_URL": url, **environment, "REQUESTS_CA_BUNDLE": str(identity.bundle)}


def main(arguments: list[str] | None = None) -> int:
    """Serve from the command line until told to stop; return the exit code."""
    options = _parser().parse_args(arguments)
    serving = serve(
        port=options.port,
        ports=Ports(options.entra_port, options.key_vault_port, options.identity_port),
        seed=options.seed,
        certificates=options.certificates,
        replay=options.replay,
        credential=options.credential,
    )
    return parts.run(serving, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.partner_center",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG,
    )
    parts.add_options(parser, port=_PORT)
    for name, default in _PORTS._asdict().items():
        parser.add_argument(
            f"--{name.replace('_', '-')}-port",
            type=int,
            default=default,
            help=f"the port of the {name.replace('_', ' ')}; 0 takes a free one (default {default})",
        )
    parser.add_argument("--seed", type=int, help="make the chance of faults repeatable")
    parser.add_argument(
        "--certificates",
        type=Path,
        metavar="DIR",
        help="keep the certificates here and use them again (default: a folder that is removed at the end)",
    )
    parser.add_argument(
        "--credential",
        choices=CREDENTIALS,
        default="secret",
        help="what the announced variables let the app prove itself by (default secret)",
    )
    parser.add_argument(
        "--replay",
        choices=["refuse", "repeat"],
        default="refuse",
        help="what a POST gets that repeats the MS-RequestId of a recorded one: 600061 like any other"
        " duplicate, or the first answer again (default refuse; no page tells what the real one does)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
