"""uvicorn's HTTP/1.1 protocol with a bound for everything that a client may send, and for every wait for it.

- A request's head is bounded in bytes, fields and time. Chunk extensions and trailers are bounded in bytes.
- `Upgrade` is ignored (RFC 9110 section 7.8): the request is answered as HTTP/1.1, with its body.
- After an answer that did not wait for the whole body, the rest is read and discarded for a bounded time. Closing a
  socket with unread data makes the kernel reset the connection, and the client may lose the answer (RFC 9112
  section 9.6).
- A client that does not read its answer is waited for for a bounded time.

docs/decisions/http-server.md compares it with other servers.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from image_upload.errors import (
    MEDIA_TYPE,
    HeadTooLarge,
    MalformedRequest,
    Problem,
    TooManyConnections,
    TooSlow,
    as_document,
)
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

if TYPE_CHECKING:
    from image_upload.web.server import Configuration

log = logging.getLogger("image_upload.requests")

_RETRY_AFTER_S = 2
_UPGRADE_FIELDS = (b"upgrade", b"http2-settings")


class _Phase(Enum):
    """What the parser expects next."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()


class _OrderlyTransport(asyncio.Transport):
    """A connection's transport whose `close` is decided by its protocol."""

    def __init__(self, inner: asyncio.Transport, protocol: "BoundedHttpProtocol") -> None:
        super().__init__()
        self._inner = inner
        self._protocol = protocol
        self.pause_reading = inner.pause_reading  # type: ignore[method-assign]
        self.resume_reading = inner.resume_reading  # type: ignore[method-assign]
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]
        self.write = inner.write  # type: ignore[method-assign]

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
        # Bytes since the parser last came to the end of a head or to a byte of a body.
        self._pending_bytes = 0
        self._fields = 0
        # The head of a request that asks for an upgrade, without that wish.
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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or refuse the connection with 503."""
        self._socket = transport
        super().connection_made(_OrderlyTransport(transport, self))
        if self._limit.admit(self):
            self._set_deadline(HEAD_TIMEOUT_S, self._head_is_late)
        elif self._limit.may_answer(self):
            self._refuse(
                TooManyConnections(
                    "The service holds as many connections as it may. Try again in a few seconds.",
                    headers={"Retry-After": str(_RETRY_AFTER_S)},
                )
            )
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._lost = True
        self._limit.forget(self)
        self._clear_deadline()
        self._clear_stall()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close at once, for another connection."""
        self._socket.abort()

    def shutdown(self) -> None:
        """End after the requests that have begun."""
        self._ending = True
        super().shutdown()
        if self.is_lingering:
            self._set_deadline(LINGER_ENDING_S, self._close_now)

    def close_in_order(self) -> None:
        """Close, once the rest of a body that was not waited for is read or its bound is reached."""
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
        """Wait for the client to read, for `ANSWER_STALL_S`."""
        self._stalled = self.loop.call_later(ANSWER_STALL_S, self._socket.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
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
        while data and not (self._ignores_input or self._lost or self.is_lingering):
            # At the limit a head is either at its end or too large, so nothing behind the limit is parsed before.
            piece = data if self._phase is _Phase.BODY else data[: HEAD_MAX_BYTES - self._pending_bytes]
            data = data[len(piece) :]
            self._pending_bytes += len(piece)
            self._parse(piece)
            if self._pending_bytes >= HEAD_MAX_BYTES and not self.is_lingering:
                self._refuse(_head_too_large())
        if self._deadline is None and self._is_in_head():
            self._set_deadline(HEAD_TIMEOUT_S, self._head_is_late)

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
        self._phase = _Phase.HEAD
        self._fields = 0
        self._keeps_alive = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head. One of a trailer is dropped: no route knows any."""
        if self._phase is _Phase.BODY:
            return
        self._fields += 1
        if self._fields > HEAD_FIELDS_MAX:
            self._fault = _head_too_large()
            raise self._fault
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request."""
        if self.parser.should_upgrade():
            self._head = self._head_without_upgrade()
            return
        if len(self.pipeline) >= PIPELINED_MAX:
            # The requests before this one are answered; the client sends the others again (RFC 9112 section 9.3.2).
            self.cycle.keep_alive = False
            self._ignores_input = True
            raise MalformedRequest("Too many requests at once.")
        self._clear_deadline()
        self._limit.busy(self)
        self._phase = _Phase.BODY
        self._pending_bytes = 0
        super().on_headers_complete()
        self._keeps_alive = self.cycle.keep_alive
        if self._has_long_body():
            # What is answered before the body was read ends the connection, and says so.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Hand bytes of a body on."""
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a request."""
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
        if self.cycle.response_complete:
            self._limit.idle(self)
            if self._phase is not _Phase.BETWEEN:  # something has come, so it is not the next request that is awaited
                self._unset_keepalive_if_required()
            if self._phase is _Phase.BODY:
                self._set_deadline(LINGER_S, self._close_now)

    def _wait_for_next_request(self) -> None:
        self._clear_deadline()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _has_long_body(self) -> bool:
        """Whether the body may be longer than what is read for the sake of the next request."""
        if self.expect_100_continue:  # the client may leave the body out: RFC 9110 section 10.1.1
            return True
        for name, value in self.headers:
            if name == b"transfer-encoding":
                return True
            if name == b"content-length":
                return len(value) > len(str(REST_MAX_BYTES)) or int(value) > REST_MAX_BYTES
        return False

    def _head_without_upgrade(self) -> bytes:
        """The head that has just been parsed, as if the client had not asked for another protocol."""
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
        if self._is_answering():
            # The answer before is still under way; the connection ends behind it.
            self.cycle.keep_alive = False
            self._ignores_input = True
        elif self._is_in_head():
            self._refuse(TooSlow(f"The request's head did not arrive within {HEAD_TIMEOUT_S:.0f} s. Send it again."))
        else:
            self._close_now()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _is_in_head(self) -> bool:
        """Whether something of the next request has come: bytes of its head, or blank lines before it."""
        return self._phase is _Phase.HEAD or (self._phase is _Phase.BETWEEN and self._pending_bytes > 0)

    def _refuse(self, problem: Problem) -> None:
        """Answer in place of the app, and close. Where an answer has begun, only close."""
        self._ignores_input = True
        under_way = self._is_answering()
        if self.pipeline or (under_way and (self.cycle.response_started or self._phase is not _Phase.BODY)):
            self._socket.abort()
            return
        if under_way:
            # The app learns that the client is gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        request_id = uuid.uuid4().hex
        document = json.dumps(as_document(type(problem), problem.detail, request_id, **problem.extras)).encode()
        headers = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(document)),
            "connection": "close",
            "x-request-id": request_id,
            "x-content-type-options": "nosniff",
            **problem.headers,
        }
        fields = [*self.server_state.default_headers, *((k.lower().encode(), v.encode()) for k, v in headers.items())]
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self._socket.write(b"%b%b\r\n%b" % (STATUS_LINE[problem.status], lines, document))
        log.info(
            "request", extra={"fields": {"request_id": request_id, "status": problem.status, "code": problem.code}}
        )
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


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(
        f"A request's head has at most {HEAD_MAX_BYTES} bytes and {HEAD_FIELDS_MAX} fields. Send less in it.",
        max_bytes=HEAD_MAX_BYTES,
    )
