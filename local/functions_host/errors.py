"""The one error that ends a start."""


class HostError(Exception):
    """The app cannot be run as it stands; the text tells a person what to change."""
