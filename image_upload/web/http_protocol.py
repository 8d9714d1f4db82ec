"""uvicorn's HTTP/1.1 protocol, with limits for everything that a client sends and for every wait.

- A request's head is limited in bytes, fields and time. Chunk extensions and trailers are limited in bytes.
- The number of requests that a client sends without waiting for answers is limited. Later bytes wait unparsed, and
  the socket is not read.
- `Upgrade` is ignored (RFC 9110 section 7.8): the request is answered as HTTP/1.1, with its body.
- After an answer that did not wait for the whole body, the rest is read and discarded for a limited time. Closing a
  socket with unread data makes the kernel reset the connection, and the client may lose the answer (RFC 9112
  section 9.6).
- A client that does not read its answer is given a limited time.

docs/decisions/http-server.md compares it with other servers.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from image_upload.errors import ClientTooSlow, MalformedRequest, Problem
from image_upload.limits import (
    ANSWER_STALL_S,
    HEAD_FIELDS_MAX,
    HEAD_MAX_BYTES,
    HEAD_TIMEOUT_S,
    LINGER_ENDING_S,
    LINGER_MAX_BYTES,
    LINGER_S,
    PIPELINED_MAX,
    REST_MAX_BYTES,
)
from image_upload.web.refusal import head_too_large, refusal, too_many_connections

if TYPE_CHECKING:
    from image_upload.web.server import Configuration

_UPGRADE_FIELDS = (b"upgrade", b"http2-settings")


class _Phase(Enum):
    """What the parser expects next."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()


class _OrderlyTransport(asyncio.Transport):
    """A transport that lets its protocol decide how to close it and when to read."""

    def __init__(self, inner: asyncio.Transport, protocol: "BoundedHttpProtocol") -> None:
        super().__init__()
        self._inner = inner
        self._protocol = protocol
        self.pause_reading = inner.pause_reading  # type: ignore[method-assign]  # without a call in between
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]  # the same
        self.write = inner.write  # type: ignore[method-assign]  # the same

    def resume_reading(self) -> None:
        if not self._protocol.holds_back:
            self._inner.resume_reading()

    def close(self) -> None:
        self._protocol.close_in_order()

    def is_closing(self) -> bool:
        return self._protocol.is_lingering or self._inner.is_closing()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: "Configuration",
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limit = config.connection_limit
        self._socket: asyncio.Transport
        self._phase = _Phase.BETWEEN
        # Bytes since the last end of a head or byte of a body.
        self._pending_bytes = 0
        self._fields = 0
        # The remaining bytes of a body with a Content-Length.
        self._rest_bytes = 0
        # Bytes after the highest number of waiting requests.
        self._unparsed = b""
        # The head of a request with Upgrade, without that header.
        self._head = b""
        self._fault: Problem | None = None
        self._keeps_alive = True
        self._ignores_input = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._ending = False
        self._lost = False
        self.is_lingering = False
        self._discarded_bytes = 0

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """Count the connection, or refuse it with 503."""
        self._socket = transport
        super().connection_made(_OrderlyTransport(transport, self))
        if self._limit.admit(self):
            self._set_deadline(HEAD_TIMEOUT_S, self._head_is_late)
        elif self._limit.may_answer(self):
            self._refuse(too_many_connections())
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the limit."""
        self._lost = True
        self._limit.forget(self)
        self._clear_deadline()
        self._clear_stall()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close at once, to make way for another connection."""
        self._socket.abort()

    def shutdown(self) -> None:
        """End after the requests that have begun."""
        self._ending = True
        super().shutdown()
        if self.is_lingering:
            self._set_deadline(LINGER_ENDING_S, self._close_now)

    def close_in_order(self) -> None:
        """Close after the rest of an unread body was read, or its limit is reached."""
        if self._lost or self.is_lingering:
            return
        if self._phase is _Phase.BODY:
            self._linger()
        else:
            self._close_now()

    def _linger(self) -> None:
        self.is_lingering = True
        self._unset_keepalive_if_required()
        self._limit.idle(self)
        self._set_deadline(LINGER_ENDING_S if self._ending else LINGER_S, self._close_now)
        if self._socket.can_write_eof():
            self._socket.write_eof()
        self.flow.resume_reading()

    def _close_now(self) -> None:
        self.is_lingering = True
        self._set_deadline(ANSWER_STALL_S, self._socket.abort)
        self._socket.close()

    def pause_writing(self) -> None:
        """Wait for the client to read, for at most `ANSWER_STALL_S`."""
        self._stalled = self.loop.call_later(ANSWER_STALL_S, self._socket.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Stop the wait for a client that reads again."""
        self._clear_stall()
        super().resume_writing()

    # --- what arrives -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self.is_lingering:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > LINGER_MAX_BYTES:
                self._close_now()
            return
        self._unset_keepalive_if_required()
        if self._unparsed:
            self._unparsed += data
        else:
            self._parse_pieces(data)

    @property
    def holds_back(self) -> bool:
        """Whether the socket must not be read, because too many requests wait for an answer."""
        return bool(self.pipeline or self._unparsed)

    def _parse_pieces(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not (self._ignores_input or self._lost or self.is_lingering):
            if len(self.pipeline) >= PIPELINED_MAX:
                self._unparsed = data[at:]
                self._socket.pause_reading()
                break
            end = self._end_of_piece(data, at)
            self._pending_bytes += end - at
            self._parse(data[at:end])
            at = end
            if self._pending_bytes >= HEAD_MAX_BYTES and not self.is_lingering:
                self._refuse(head_too_large())
        if self._deadline is None and self._is_in_head():
            self._set_deadline(HEAD_TIMEOUT_S, self._head_is_late)

    def _end_of_piece(self, data: bytes, at: int) -> int:
        """Return the end of the next piece to parse. A head can end only at the end of a piece."""
        if self._phase is _Phase.BODY and self._rest_bytes:
            return min(at + self._rest_bytes, len(data))
        blank_line = data.find(b"\r\n\r\n", at)
        end = len(data) if blank_line < 0 else blank_line + 4
        # At the limit a head has ended or is too large, so parse only up to it.
        return end if self._phase is _Phase.BODY else min(end, at + HEAD_MAX_BYTES - self._pending_bytes)

    def _parse(self, piece: bytes) -> None:
        try:
            while piece:
                try:
                    self.parser.feed_data(piece)
                except httptools.HttpParserUpgrade as upgrade:
                    piece = piece[upgrade.args[0] :]
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
                    head, self._head = self._head, b""
                    self.parser.feed_data(head)
                else:
                    return
        except httptools.HttpParserError:
            if not self._ignores_input:
                self._refuse(self._fault or MalformedRequest("This is not a request of HTTP/1.1. Correct its syntax."))

    def on_message_begin(self) -> None:
        """Expect a head."""
        self._unset_keepalive_if_required()
        self._phase = _Phase.HEAD
        self._fields = 0
        self._keeps_alive = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a field to the head. Drop a trailer's field, as no route uses trailers."""
        if self._phase is _Phase.BODY:
            return
        self._fields += 1
        if self._fields > HEAD_FIELDS_MAX:
            self._fault = head_too_large()
            raise self._fault
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request."""
        if self.parser.should_upgrade():
            self._head = self._head_without_upgrade()
            return
        self._clear_deadline()
        self._limit.busy(self)
        self._phase = _Phase.BODY
        self._pending_bytes = 0
        super().on_headers_complete()
        self._keeps_alive = self.cycle.keep_alive
        announced_bytes = self._announced_bytes()
        self._rest_bytes = announced_bytes or 0
        # After Expect: 100-continue the client may leave the body out: RFC 9110 section 10.1.1.
        if announced_bytes is None or announced_bytes > REST_MAX_BYTES or self.expect_100_continue:
            # An answer before the body was read ends the connection, and says so.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Pass bytes of a body on."""
        self._pending_bytes = 0
        self._rest_bytes = max(0, self._rest_bytes - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Record the end of a request."""
        if self._head:
            return
        self._phase = _Phase.BETWEEN
        self._pending_bytes = 0
        if not self.cycle.response_started and not self._ending:
            self.cycle.keep_alive = self._keeps_alive
        elif self.cycle.response_complete and not self.is_lingering:
            self._wait_for_next_request()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the rest of the body, or for the next request."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._unparsed and not self.pipeline:
            data, self._unparsed = self._unparsed, b""
            self._parse_pieces(data)
        if not (self.holds_back or self.flow.read_paused or self._socket.is_closing()):
            self._socket.resume_reading()
        if self.cycle.response_complete:
            self._limit.idle(self)
            if self._phase is not _Phase.BETWEEN:  # a part of the next request has arrived already
                self._unset_keepalive_if_required()
            if self._phase is _Phase.BODY:
                self._set_deadline(LINGER_S, self._close_now)

    def _wait_for_next_request(self) -> None:
        self._clear_deadline()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _announced_bytes(self) -> int | None:
        """Return the length of the body; None if it is known only at its end (RFC 9112 section 6.3)."""
        for name, value in self.headers:
            if name == b"transfer-encoding":
                return None
            if name == b"content-length":
                return int(value)
        return 0

    def _head_without_upgrade(self) -> bytes:
        """Return the parsed head without Upgrade."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._fault = MalformedRequest("The service is no proxy. Send the request to the server that it is for.")
            raise self._fault
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name in _UPGRADE_FIELDS:
                continue
            kept = value
            if name == b"connection":
                tokens = (token.strip() for token in value.split(b","))
                kept = b", ".join(token for token in tokens if token.lower() not in _UPGRADE_FIELDS)
            if kept or name != b"connection":
                lines.append(b"%b: %b" % (name, kept))
        return b"\r\n".join(lines) + b"\r\n\r\n"

    # --- refusals ---------------------------------------------------------------------------------

    def _head_is_late(self) -> None:
        self._deadline = None
        if self._is_answering() or self._is_in_head():
            self._refuse(
                ClientTooSlow(
                    "The request's head did not arrive within {seconds} s. Send it again.",
                    facts={"seconds": f"{HEAD_TIMEOUT_S:g}"},
                )
            )
        else:
            self._close_now()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _is_in_head(self) -> bool:
        """Return whether a part of the next request has arrived: bytes of its head, or blank lines before it."""
        return self._phase is _Phase.HEAD or (self._phase is _Phase.BETWEEN and self._pending_bytes > 0)

    def _refuse(self, problem: Problem) -> None:
        """Answer instead of the app and close. With answers in progress, close after them, or at once."""
        self._ignores_input = True
        under_way = self._is_answering()
        if under_way and self._phase is not _Phase.BODY:
            # Earlier requests are answered; then the connection closes.
            self.cycle.keep_alive = False
            return
        if self.pipeline or (under_way and self.cycle.response_started):
            self._socket.abort()
            return
        if under_way:
            # Tell the app that the client is gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._socket.write(refusal(problem, self.server_state.default_headers))
        self._linger()

    # --- timers -----------------------------------------------------------------------------------

    def _set_deadline(self, seconds: float, callback: Callable[[], None]) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, callback)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _clear_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
