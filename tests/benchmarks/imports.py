"""Start-up: importing the function app, against importing the libraries it uses and nothing else."""

import json
import os
import subprocess
import sys
import time

from tests.benchmarks.far_ends import ROOT
from tests.benchmarks.figures import Figure, side_by_side

# By itself "import pydantic" imports next to nothing: the library comes with the first name of it.
LIBRARIES = """\
import azure.functions, azure.identity, azure.keyvault.secrets, azure.servicebus, msal, requests
from pydantic import BaseModel
"""


def measure() -> Figure:
    """Measure whole processes, one after the other."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    return side_by_side(
        "import-time",
        "<= 1.2",
        "milliseconds",
        lambda: _milliseconds("import function_app", sample),
        lambda: _milliseconds(LIBRARIES, sample),
        rounds=15,
    )


def _milliseconds(code: str, environ: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | environ, check=True)
    return (time.perf_counter() - began) * 1000
