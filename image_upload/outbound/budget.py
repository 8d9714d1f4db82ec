"""Bytes that may be held at once, shared by everything that holds them."""

import asyncio


class ByteBudget:
    """A semaphore counted in bytes. Who asks first is served first, however little the next one wants."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = self._free = total_bytes
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, wanted_bytes: int) -> int:
        """Wait until there is room; what to give back. More than there ever is waits until nothing else is held."""
        taken = min(wanted_bytes, self.total_bytes)
        async with self._turn:
            while self._free < taken:
                self._freed.clear()
                await self._freed.wait()
            self._free -= taken
        return taken

    def take_now(self, wanted_bytes: int, *, leaving_bytes: int = 0) -> bool:
        """Take this much if `leaving_bytes` are free afterwards and no other waits. Never waits itself."""
        if self._turn.locked() or self._free - wanted_bytes < leaving_bytes:
            return False
        self._free -= wanted_bytes
        return True

    @property
    def is_waited_for(self) -> bool:
        """Whether something waits for room."""
        return self._turn.locked()

    def give_back(self, taken_bytes: int) -> None:
        """Make room for others."""
        self._free += taken_bytes
        self._freed.set()
