import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import certifi
import pytest
import requests
from aiohttp import web

from local import tls
from local.parts import in_thread
from tests.stacks import ROOT


def test_the_bundle_is_certifis_and_one_more(tmp_path: Path) -> None:
    """Who is given the bundle still trusts the real world."""
    bundle = tls.identity(tmp_path).bundle.read_text()
    known = Path(certifi.where()).read_text()
    assert bundle.startswith(known)
    assert bundle.removeprefix(known).count("BEGIN CERTIFICATE") == 1


def test_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    """Nobody else on the machine can read the server's key, and the authority's own key is nowhere."""
    tls.identity(tmp_path)
    with_key = [path for path in tmp_path.iterdir() if "PRIVATE KEY" in path.read_text()]
    assert [path.name for path in with_key] == ["localhost.pem"]
    assert with_key[0].read_text().count("BEGIN") == 2
    assert stat.S_IMODE(with_key[0].stat().st_mode) == 0o600


def test_a_second_start_finds_the_same_identity(tmp_path: Path) -> None:
    """A part that is started again is believed by clients that hold the first bundle."""
    first = tls.identity(tmp_path / "new").bundle.read_bytes()
    assert tls.identity(tmp_path / "new").bundle.read_bytes() == first


def test_half_an_identity_is_made_anew(tmp_path: Path) -> None:
    """If one of the two files is gone, both are made again, so that they fit each other."""
    first = tls.identity(tmp_path).bundle.read_bytes()
    (tmp_path / "localhost.pem").unlink()
    assert tls.identity(tmp_path).bundle.read_bytes() != first


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_client_with_the_bundle_believes_the_server(tmp_path: Path, host: str) -> None:
    """The server is believed by name and by address, by whoever has the bundle and by nobody else."""
    identity = tls.identity(tmp_path)
    with (
        in_thread(lambda: tls.listening(web.Application(), identity.context)) as url,
        requests.Session() as session,
    ):
        session.trust_env = False
        here = url.replace("localhost", host)
        assert session.get(here, verify=str(identity.bundle)).status_code == 404
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(here, verify=certifi.where(), timeout=30)


def test_a_program_waits_while_another_issues(tmp_path: Path) -> None:
    """Two that start at once have one identity, so that what they show is what clients believe."""
    folder, made = tmp_path / "certificates", tls.identity(tmp_path / "made").bundle.parent
    planted = {name: (made / name).read_bytes() for name in ("ca-bundle.pem", "localhost.pem")}
    show = "import sys; from pathlib import Path; from local import tls; tls.identity(Path(sys.argv[1]))"
    command = [sys.executable, "-c", show, str(folder)]
    with tls.alone(folder):
        programs = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
        with pytest.raises(subprocess.TimeoutExpired):
            programs[0].wait(1)
        for name, content in planted.items():
            (folder / name).write_bytes(content)
    assert [program.wait(120) for program in programs] == [0, 0]
    assert {name: (folder / name).read_bytes() for name in planted} == planted


def test_the_end_waits_neither_for_a_slow_answer_nor_for_an_idle_client(tmp_path: Path) -> None:
    """Leaving takes far less than a minute while one client is answered slowly and another keeps its line."""

    async def scenario() -> float:
        asked = asyncio.Event()

        async def slow(_: web.Request) -> web.Response:
            asked.set()
            await asyncio.sleep(60)
            return web.Response()

        app = web.Application()
        app.router.add_get("/slow", slow)
        identity = tls.identity(tmp_path)
        loop = asyncio.get_running_loop()
        with requests.Session() as idle:
            idle.trust_env = False
            idle.verify = str(identity.bundle)
            async with tls.listening(app, identity.context) as url:
                await asyncio.to_thread(idle.get, url)
                waiting = asyncio.create_task(
                    asyncio.to_thread(requests.get, f"{url}/slow", verify=idle.verify, timeout=30)
                )
                await asked.wait()
                started = loop.time()
            took = loop.time() - started
            with pytest.raises(requests.ConnectionError):
                await waiting
        return took

    assert asyncio.run(scenario()) < 20
