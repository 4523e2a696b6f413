"""Partner Center as a running part, with what an app signs in by."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web

from local import sign_in, tls
from local.entra import Issuing
from local.faults import Faults
from local.partner_center import api
from local.partner_center.admission import Admission
from local.partner_center.compliance import Compliance
from local.partner_center.confirmations import Confirmations
from local.partner_center.documents import Documents, Links
from local.partner_center.ledger import Ledger
from local.partner_center.options import Choice, Options
from local.sign_in import Credential, Ports


@asynccontextmanager
async def serve(
    *,
    port: int = 0,
    ports: Ports = Ports(),  # noqa: B008 - a tuple
    seed: int | None = None,
    certificates: Path | None = None,
    options: Options | None = None,
    credential: Credential = "secret",
) -> AsyncIterator[Mapping[str, str]]:
    """Serve the API and what an app signs in by; yield the environment that leads a client to them.

    Args:
        port: The API's port; 0 takes a free one.
        ports: Those of the other parts.
        seed: Makes the chance of faults repeatable.
        certificates: Where certificates and keys are kept and found again; a temporary folder when absent.
        options: The rules that no page tells, in force at first.
        credential: What the environment lets the app prove itself by; Entra takes all of them.

    Raises:
        OSError: ``EADDRINUSE`` when a port is taken.
    """
    async with AsyncExitStack() as stack:
        folder = certificates or Path(stack.enter_context(TemporaryDirectory()))
        identity = tls.identity(folder)
        signing_in = sign_in.serve(identity.context, folder, ports, credential, seed)
        tokens, environment = await stack.enter_async_context(signing_in)
        app = _application(tokens, Choice(options), Faults(seed))
        url = await stack.enter_async_context(tls.listening(app, identity.context, port=port))
        yield {"PARTNER_CENTER_URL": url, **environment, "REQUESTS_CA_BUNDLE": str(identity.bundle)}


def _application(tokens: Issuing, choice: Choice, faults: Faults) -> web.Application:
    admission, ledger = Admission(tokens, choice), Ledger()
    routes = [
        *Confirmations(admission, ledger, choice).routes(),
        *Documents(admission, Links()).routes(),
        *Compliance(admission).routes(),
    ]
    return api.application(routes, admission, ledger, choice, faults)
