"""The document of an agreement's template: for every country and language a link, good for five minutes.

The links lead to a line of text; behind the real ones are a preview and a Word file.
"""

import csv
import secrets
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from aiohttp import web

from local.partner_center import refusals
from local.partner_center.admission import Admission
from local.partner_center.answers import answer
from local.partner_center.ledger import CUSTOMER, templates

LINK_SECONDS = 300.0
_DEFAULT_LANGUAGE = "en-US"
_LOCALES = Path(__file__).with_name("agreement-locales.csv")


def _languages() -> dict[str, list[str]]:
    """Read which languages each country has, by the codes of the page, which are not all ISO's."""
    with _LOCALES.open(encoding="utf-8", newline="") as file:
        return {row["country_code"]: row["languages_deduplicated"].split(";") for row in csv.DictReader(file)}


class Links:
    """The links there are, and till when each is good; ``clock`` is in seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._languages = _languages()
        self._links: dict[str, tuple[float, str]] = {}

    def language(self, template: str, country: str, wanted: str) -> str:
        """Return the language in which there is a template's document for a country.

        Raises:
            RefusedError: There is no such template or country; both are told apart by case.
        """
        if template not in {one.id for one in templates(CUSTOMER)}:
            raise refusals.template_unknown()
        if country not in self._languages:
            raise refusals.country_unknown()
        there = {name.lower(): name for name in self._languages[country]}
        return there.get(wanted.lower(), _DEFAULT_LANGUAGE)

    def new(self, text: str) -> str:
        """Return a new link to a text."""
        link = secrets.token_urlsafe(24)
        self._links[link] = self._clock() + LINK_SECONDS, text
        return link

    def opened(self, link: str) -> str | None:
        """Return what lies behind a link, while it is good."""
        ends, text = self._links.get(link, (0.0, ""))
        return text if self._clock() < ends else None


class Documents:
    """The call that gives out links, and the address that they lead to."""

    def __init__(self, admission: Admission, links: Links) -> None:
        self._admission, self._links = admission, links

    def routes(self) -> list[web.RouteDef]:
        """Name the paths."""
        return [
            web.get("/v1/agreementtemplates/{template}/document", self._document, allow_head=False),
            web.get("/agreementdocuments/{link}", self._open, allow_head=False),
        ]

    async def _document(self, request: web.Request) -> web.Response:
        self._admission.user(request)
        template, country = request.match_info["template"], request.query.get("country", "US")
        language = self._links.language(template, country, request.query.get("language", _DEFAULT_LANGUAGE))
        where, text = (
            f"{request.scheme}://{request.host}/agreementdocuments",
            f"{template} {country} {language}",
        )
        return answer(
            {
                "displayUri": f"{where}/{self._links.new(text)}",
                "downloadUri": f"{where}/{self._links.new(text)}",
                "language": language,
                "country": country,
            }
        )

    async def _open(self, request: web.Request) -> web.Response:
        text = self._links.opened(request.match_info["link"])
        return web.Response(status=403) if text is None else web.Response(text=f"agreement template {text}\n")
