"""Partner Center as a program: ``python -m local.partner_center``."""

import argparse
import sys
from pathlib import Path

from local import parts
from local.partner_center import options
from local.partner_center.options import InvalidOptionsError
from local.partner_center.serving import serve
from local.sign_in import CREDENTIALS, Ports

_PORT = 8443
_PORTS = Ports(entra=8444, key_vault=8445, identity=8446)
_DESCRIPTION = """\
Partner Center's agreements API, the Entra ID that it believes, a Key Vault, and a managed identity endpoint,
on this machine; all but the last over https.
Once they answer, one line of JSON tells the environment variables that lead a client to them.
Every customer is known, except ids that begin with 00000000- (unknown) and ffffffff- (another partner's);
those that begin with dddddddd- accepted directly.
"""
_EPILOG = """\
Steering, without a token, under each part's own URL ($PARTNER_CENTER_URL, $PARTNER_AUTHORITY_URL,
$KEY_VAULT_URL; for the managed identity that of $IDENTITY_ENDPOINT without its path):
  PUT    /_control/faults          a JSON list of rules, tried in order; a call uses up the first it meets
  DELETE /_control/faults          no more faults
  GET    /_control/calls           how often each route gave each status, and the request ids of each body
Partner Center alone:
  GET    /                         the ledger and the last calls, for a browser
  GET    /_control/ledger          every recorded agreement, in order
  GET    /_control/options         the rules that no page tells, as they are chosen
  PATCH  /_control/options         choose any of them anew
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
  answerDelaySeconds               wait when the work is done, before the answer (0)
  drop                             "before": cut the connection; "after": do the work, then cut it
  aadsts                           Entra alone: deny token requests by this number, as Entra says it

Throttle two POSTs, then record one and cut the line:
  curl --cacert "$REQUESTS_CA_BUNDLE" -X PUT "$PARTNER_CENTER_URL/_control/faults" -d '[
    {"method": "POST", "times": 2, "status": 429, "headers": {"Retry-After": "3"}},
    {"method": "POST", "drop": "after"}]'
Allow five calls a second, ten at once, until told otherwise:
  curl --cacert "$REQUESTS_CA_BUNDLE" -X PATCH "$PARTNER_CENTER_URL/_control/options" -d '
    {"callsPerSecond": 5, "burst": 10}'
Let the refresh token be dead from idleness until told otherwise:
  curl --cacert "$REQUESTS_CA_BUNDLE" -X PUT "$PARTNER_AUTHORITY_URL/_control/faults" -d '[
    {"aadsts": 700082, "times": null}]'
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve from the command line until told to stop; return the exit code."""
    given = _parser().parse_args(arguments)
    try:
        chosen = options.read(given.set)
    except InvalidOptionsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    serving = serve(
        port=given.port,
        ports=Ports(given.entra_port, given.key_vault_port, given.identity_port),
        seed=given.seed,
        certificates=given.certificates,
        options=chosen,
        credential=given.credential,
    )
    return parts.run(serving, given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.partner_center",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG + "\n".join(["", "Options (default):", *options.help_lines()]),
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
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="choose a rule that no page tells; the list is below; again for another",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
