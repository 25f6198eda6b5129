"""What the server's sockets hold at most: an answer that nobody takes is not kept, a message of ours is short."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from app.live.messages import LONGEST

PATH = "/api/live"
LONGEST_BYTES = 4 * LONGEST  # in UTF-8


class Bounded(WebSocketsSansIOProtocol):
    """A socket that never grows: uvicorn answers every ping at once, whether or not the other side takes answers."""

    def handle_connect(self, event: Request) -> None:
        """Let nobody send more at once than the live view reads; Streamlit's own socket takes what it takes."""
        super().handle_connect(event)
        if event.path.partition("?")[0].endswith(PATH):
            self.conn.max_message_size = LONGEST_BYTES

    def handle_ping(self) -> None:
        """Answer a ping, unless answers before it wait to be taken."""
        answer = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(answer)
