"""The server's command: its address, what stands in its way, and its end."""

import json
import signal
import socket
import subprocess
import sys
from urllib.request import urlopen

import pytest

from app.cli import main
from app.cli.commands.app import address, listen
from kdcore.errors import BadInput

pytestmark = pytest.mark.usefixtures("lab")


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--port", str(port), "--no-open"]) == 2
    told = capsys.readouterr()
    assert f"Port {port} on 127.0.0.1 is in use" in told.err
    assert "--port" in told.err
    assert len(told.err.splitlines()) == 1


def test_of_two_servers_that_begin_at_once_one_gets_the_port() -> None:
    """Before either of them answers."""
    with listen("127.0.0.1", 0) as first, pytest.raises(BadInput, match="is in use; choose another one"):
        listen("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "h" * 300, "a..b", "\0", "\udcff"])
def test_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(BadInput, match=r"is no address of this machine .*--host"):
        listen(host, 0)


def test_the_url_suits_a_browser_on_this_machine() -> None:
    assert address("0.0.0.0", 8501) == "http://localhost:8501"
    assert address("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert address("::1", 80) == "http://[::1]:80"


def test_it_serves_until_interrupted() -> None:
    words = ["app", "--port", "0", "--no-open"]
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout
        said = next(line for line in server.stdout if line.startswith("KD Lab is at "))
        url = said.split()[4]
        with urlopen(f"{url}/api/health", timeout=30) as answer:
            assert json.load(answer)["status"] == "ok"
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
