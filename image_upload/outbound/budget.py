"""A limit on the bytes that all buffers of a kind hold together."""

import asyncio


class ByteBudget:
    """A semaphore counted in bytes. Waiters are served in order, also if a later one wants less."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = self._free = total_bytes
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, wanted_bytes: int) -> int:
        """Wait until the bytes are free and take them; return how many to give back.

        A request for more than the whole budget waits until all of it is free, and takes that.
        """
        taken = min(wanted_bytes, self.total_bytes)
        async with self._turn:
            while self._free < taken:
                self._freed.clear()
                await self._freed.wait()
            self._free -= taken
        return taken

    def take_now(self, wanted_bytes: int, *, leaving_bytes: int = 0) -> bool:
        """Take the bytes without waiting; return whether it was possible.

        It is possible if `leaving_bytes` remain free afterwards and nothing else waits.
        """
        if self._turn.locked() or self._free - wanted_bytes < leaving_bytes:
            return False
        self._free -= wanted_bytes
        return True

    @property
    def is_waited_for(self) -> bool:
        """Whether a caller waits in `take`."""
        return self._turn.locked()

    def give_back(self, taken_bytes: int) -> None:
        """Return bytes to the budget and wake the next waiter."""
        self._free += taken_bytes
        self._freed.set()
