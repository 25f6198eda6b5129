"""A server with the live view and nothing else: `uvicorn small_server:app` in this folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from app import run_store
from app.live.cookie import NameBrowsers
from app.live.hub import Hub
from app.live.routes import routes


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    async with hub:
        yield


hub = Hub(run_store.store)
script = Path(__file__).with_name("small_lab.py")
app = st.App(script, lifespan=lifespan, routes=routes(hub), middleware=[Middleware(NameBrowsers)])
