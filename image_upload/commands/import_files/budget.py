"""Memory for files under way, handed out in the order in which it was asked for."""

import asyncio


class Budget:
    """Bytes that may be held at once."""

    def __init__(self, total_bytes: int) -> None:
        self._total = self._free = total_bytes
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, wanted_bytes: int) -> int:
        """Wait until there is room; what to give back. More than there ever is waits until nothing else is held."""
        taken = min(wanted_bytes, self._total)
        async with self._turn:
            while self._free < taken:
                self._freed.clear()
                await self._freed.wait()
            self._free -= taken
        return taken

    def give_back(self, taken_bytes: int) -> None:
        """Room for others."""
        self._free += taken_bytes
        self._freed.set()
