"""A budget of bytes is fair, and never overdrawn."""

import asyncio

import pytest

from image_upload.outbound.budget import ByteBudget


def test_who_asks_first_is_served_first() -> None:
    served: list[str] = []

    async def ask(budget: ByteBudget, name: str, wanted_bytes: int) -> None:
        await budget.take(wanted_bytes)
        served.append(name)

    async def run() -> None:
        budget = ByteBudget(10)
        await budget.take(8)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask(budget, "much", 9))
            await asyncio.sleep(0)  # it begins to wait
            # There would be room for it, but then one that wants much would never get it.
            tasks.create_task(ask(budget, "little", 1))
            await asyncio.sleep(0)  # the same
            assert (served, budget.is_waited_for) == ([], True)
            assert not budget.take_now(1)
            budget.give_back(8)
        assert (served, budget.is_waited_for) == (["much", "little"], False)
        assert not budget.take_now(1)

    asyncio.run(run())


def test_one_that_gives_up_waiting_holds_nothing_up() -> None:
    async def run() -> None:
        budget = ByteBudget(10)
        await budget.take(10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await budget.take(5)
        budget.give_back(10)
        async with asyncio.timeout(5):
            assert await budget.take(100) == 10

    asyncio.run(run())


def test_what_is_taken_at_once_leaves_what_it_must() -> None:
    budget = ByteBudget(10)
    assert budget.take_now(5, leaving_bytes=5)
    assert not budget.take_now(1, leaving_bytes=5)
    assert budget.take_now(5)
