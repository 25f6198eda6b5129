"""A real nginx before a server, for tests: each `Site` is a port of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
KEY = ["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-newkey", "rsa:2048"]
SOCKETS = """proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 1h;"""
OUTER = """daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  proxy_max_temp_file_size 0;  # workers are nobody, who may not write below a folder of tests: answers were cut
  map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
{servers}
}}"""
SERVER = """  server {{
    listen 127.0.0.1:{port}{tls};
{certificate}
{locations}
  }}"""


class Site(NamedTuple):
    """What one port of nginx does."""

    port: int
    locations: str
    tls: bool = False


def passed(place: str, to: str, *headers: str) -> str:
    """A location that passes all to a server, with sockets and further headers."""
    own = "\n      ".join(f"proxy_set_header {header};" for header in headers)
    return f"    location {place} {{\n      proxy_pass {to};\n      {SOCKETS}\n      {own}\n    }}"


@contextmanager
def nginx(folder: Path, *sites: Site) -> Iterator[None]:
    """Start nginx."""
    _certify(folder)
    certificate = f"    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
    servers = [
        SERVER.format(
            port=site.port,
            tls=" ssl" if site.tls else "",
            certificate=certificate * site.tls,
            locations=site.locations,
        )
        for site in sites
    ]
    config = folder / "nginx.conf"
    config.write_text(OUTER.format(folder=folder, servers="\n".join(servers)))
    with subprocess.Popen([NGINX, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]) as process:
        try:
            for site in sites:
                _wait_for(site.port)
            yield
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nginx does not listen on {port}")


def _certify(folder: Path) -> None:
    """A certificate of its own for this machine."""
    subprocess.run(
        ["openssl", *KEY, "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
    )
