"""A person's browser: it follows a sign-in's address to Entra and posts the form that comes of it."""

import html
import re
import threading

import requests

_FIELD = re.compile(r'name="([^"]+)" value="([^"]*)"')
_ACTION = re.compile(r'action="([^"]+)"')


class Browser:
    """Opens addresses, each in a thread of its own; ``opened`` has them, ``pages`` what was shown last."""

    def __init__(self, bundle: str) -> None:
        self.opened: list[str] = []
        self.pages: list[str] = []
        self._bundle = bundle
        self._threads: list[threading.Thread] = []

    def open(self, address: str) -> bool:
        """Open an address, and say as ``webbrowser`` does that there is a browser."""
        self.opened.append(address)
        thread = threading.Thread(target=self._follow, args=(address,))
        thread.start()
        self._threads.append(thread)
        return True

    def close(self) -> None:
        """Wait until every page is shown."""
        for thread in self._threads:
            thread.join()

    def _follow(self, address: str) -> None:
        page = requests.get(address, verify=self._bundle, timeout=10).text
        fields = {name: html.unescape(value) for name, value in _FIELD.findall(page)}
        [action] = _ACTION.findall(page)
        self.pages.append(requests.post(html.unescape(action), fields, timeout=10).text)
