"""The server without recorded runs: a home where truly nothing is yet."""

from app import asgi

asgi.DEMOS = asgi.DEMOS / "absent"
app = asgi.app
