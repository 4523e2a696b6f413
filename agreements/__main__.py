"""``python -m agreements``: the same as the console script ``agreements``."""

from agreements.cli import main

main()
