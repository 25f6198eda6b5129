"""A finished run as a server of the Open Inference Protocol: `python -m kdcore.remote.server WEIGHTS`.

Images come as values from 0 to 1 in the input "pixels", features as they are in "features"; answers go out in
"answers": logits, probabilities, or ones at the labels, as `--access` says. Wrong input gets status 400 and a sentence.
There are no accounts, so it listens on this machine alone unless told otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kdcore.contracts.access import Access
from kdcore.errors import BadInput
from kdcore.remote.listen import address, listen
from kdcore.remote.protocol import HEAD_LENGTH, Garbled, pack, unpack
from kdcore.remote.served_model import VERSION, ServedModel, load
from kdcore.spec.spec import parse
from kdcore.terminal import say, warn

LIMIT_BYTES = 64 << 20  # of a request
LIMIT_JSON = 8 << 20  # of a request's JSON
PARSING = Lock()  # one request's JSON at a time: parsed, it takes up to thirty times as much memory
TOGETHER = 32  # requests that are held at once; more are told to come again


class _TooLarge(Exception):
    """The body of a request passes the limit."""


def application(model: ServedModel) -> Starlette:
    """Return the routes of the protocol for one model."""

    async def ready(_: Request) -> Response:
        return JSONResponse({"ready": True})

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def server(_: Request) -> Response:
        return JSONResponse({"name": "kdlab", "version": VERSION, "extensions": ["binary_tensor_data"]})

    async def facts(request: Request) -> Response:
        return JSONResponse({"name": model.name, "ready": True} if request.url.path.endswith("/ready") else model.facts)

    async def infer(request: Request) -> Response:
        try:
            body = await _body(request)
        except _TooLarge:
            return refusal(413, f"A request may have {LIMIT_BYTES >> 20} MB at most; send fewer images at once.")
        try:
            return await run_in_threadpool(inferred, model, body, request.headers.get(HEAD_LENGTH))
        except (Garbled, BadInput) as error:
            return refusal(400, str(error))

    routes = [Route("/v2", server), Route("/v2/health/live", live), Route("/v2/health/ready", ready)]
    for place in (f"/v2/models/{model.name}", f"/v2/models/{model.name}/versions/{VERSION}"):
        routes += [
            Route(place, facts),
            Route(f"{place}/ready", facts),
            Route(f"{place}/infer", infer, methods=["POST"]),
        ]
    return Starlette(routes=routes, exception_handlers={404: partial(_absent, model)})


def _absent(model: ServedModel, request: Request, _: Exception) -> Response:
    return refusal(404, f"There is no {request.url.path[:120]!r} here; the one model is {model.name!r}.")


def refusal(status: int, said: str) -> Response:
    """Return an error as the protocol has it."""
    return JSONResponse({"error": said}, status)


async def _body(request: Request) -> bytes:
    """Return a request's body, read no further than the limit."""
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > LIMIT_BYTES:
        raise _TooLarge
    parts, size_bytes = [], 0
    async for part in request.stream():
        size_bytes += len(part)
        if size_bytes > LIMIT_BYTES:
            raise _TooLarge
        parts.append(part)
    return b"".join(parts)


def inferred(model: ServedModel, body: bytes, head_length: str | None) -> Response:
    """Return the answer to one inference request.

    Raises:
        Garbled: it breaks the protocol.
        BadInput: its inputs are not the model's.
    """
    with PARSING:
        message = unpack("inputs", body, head_length, LIMIT_JSON)
    x = model.checked(message.tensors)
    said = {"model_name": model.name, "model_version": VERSION}
    if isinstance(message.said.get("id"), str):
        said["id"] = message.said["id"]
    answer, headers = pack("outputs", {"answers": model(x)}, said, _binary(message.said))
    return Response(answer, headers=headers)


def _binary(said: dict[str, Any]) -> bool:
    """Whether answers are wished as bytes: for all outputs, or for the one that is asked for."""
    outputs = said.get("outputs")
    entry = outputs[0] if isinstance(outputs, list) and outputs and isinstance(outputs[0], dict) else {}
    if entry.get("name", "answers") != "answers":
        raise BadInput(f"The model has one output, 'answers', but {str(entry['name'])[:60]!r} is asked for.")
    wishes = [said.get("parameters"), entry.get("parameters")]
    own, all_of_it = (one if isinstance(one, dict) else {} for one in reversed(wishes))
    return bool(own.get("binary_data", all_of_it.get("binary_data_output", False)))


class _Server(uvicorn.Server):
    """Says where the model is once it answers."""

    def __init__(self, config: uvicorn.Config, said: str) -> None:
        super().__init__(config)
        self.said = said

    async def startup(self, sockets: Any = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        if self.started:
            say(self.said, flush=True)


class _Arguments(NamedTuple):
    """The words of the command line."""

    weights: Path
    name: str
    access: Access
    host: str
    port: int
    spec: str


def serve(asked: _Arguments) -> None:
    """Serve until Ctrl-C.

    Raises:
        BadInput: the weights cannot be used, or the address is taken.
    """
    torch.set_num_threads(int(os.environ.get("KDLAB_THREADS") or max(1, (os.cpu_count() or 1) // 2)))  # see `setup`
    with listen(asked.host, asked.port) as listening:
        model = load(asked.weights, asked.name, asked.access, parse(asked.spec) if asked.spec else None)
        url = address(asked.host, listening.getsockname()[1])
        config = uvicorn.Config(
            application(model),
            log_config=None,
            access_log=False,
            limit_concurrency=TOGETHER,
            timeout_graceful_shutdown=3,
        )
        with suppress(KeyboardInterrupt):
            _Server(config, _invitation(model, url)).run(sockets=[listening])


def _invitation(model: ServedModel, url: str) -> str:
    answers = "logits" if model.access == "logits" else "probabilities"
    service = f"http:url={url},model={model.name},answers={answers}"
    return (
        f"Model {model.name} answers with {model.access} at {url}/v2/models/{model.name} (Ctrl-C ends it). "
        "To learn from it:\n"
        f"kdlab run --data {model.spec.data.name} --teacher none --access {model.access} --set service={service}"
    )


def words(arguments: Sequence[str] | None = None) -> _Arguments:
    """Return the words of the command line, the process's own when None."""
    parser = argparse.ArgumentParser(
        "kdcore.remote.server", description="Serve a finished run over the Open Inference Protocol."
    )
    parser.add_argument("weights", type=Path, help="student.safetensors of a finished run")
    parser.add_argument("--name", default="student", help="the model's name")
    parser.add_argument("--access", default="probabilities", choices=["logits", "probabilities", "labels"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8500)
    parser.add_argument("--spec", default="", help="the run's spec in JSON, for weights that do not say it")
    return _Arguments(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    try:
        serve(words())
    except BadInput as error:
        warn(error)
        sys.exit(2)
