"""What a browser may say on the socket, as JSON: `hello` first, then the rest in any order.

The server answers a subscription with {"key", "run", "step", "version"} and one of "figure", "gallery", "table",
"status" and "lacks" (a sentence on why there is nothing to draw), or, for fields, with bytes: the key as uint32 and the
panel's own bytes. What a person did wrong comes back as {"error": sentence}, with the run where there is one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from app.panels import View
from kdcore.contracts.control import Command
from kdcore.errors import BadInput, sentence
from kdcore.frozen import FrozenModel
from kdcore.spec.schedule import Json

LONGEST = 8192  # characters of a message
Key = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(max_length=80)]


class Hello(FrozenModel):
    """The first message: the page proves who it is."""

    op: Literal["hello"]
    token: str
    server: Name = ""  # that made the page


class WatchRequest(FrozenModel):
    """Show me a panel of a run, or its status; again with the same key to change how."""

    op: Literal["watch"]
    key: Key
    run: Name
    panel: Name
    view: View


class Leave(FrozenModel):
    """I no longer look."""

    op: Literal["leave"]
    key: Key


class Control(FrozenModel):
    """A wish about a run of mine."""

    op: Literal["control"]
    run: Name
    command: Literal["pause", "resume", "step", "set", "speed", "cancel"]
    value: Json | dict[str, Json] = None

    @property
    def wish(self) -> Command:
        """As the store takes it."""
        return Command(self.command, self.value)


_MESSAGE: TypeAdapter[Hello | WatchRequest | Leave | Control] = TypeAdapter(
    Annotated[Hello | WatchRequest | Leave | Control, Field(discriminator="op")]
)


def parse(text: str) -> Hello | WatchRequest | Leave | Control:
    """Return a message from its JSON.

    Raises:
        BadInput: it is none.
    """
    if len(text) > LONGEST:
        raise BadInput(f"A message has at most {LONGEST} characters, but got {len(text)}; send less at once.")
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError as error:
        raise sentence(error, "The message") from error
