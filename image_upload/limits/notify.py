"""Events: their size, their attempts, and how long they are kept."""

from typing import Final

# --- Events ---------------------------------------------------------------------------------------

EVENT_MAX_BYTES: Final = 20_000
"""The body of one event in UTF-8. A longer one is a bug, and is not made.

[Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md), which
asks for less than 20 kB
"""
WEBHOOK_URL_MAX_CHARS: Final = 2_048
"""A longer `WEBHOOK_URL` is refused."""
WEBHOOK_SECRET_MIN_BYTES: Final = 24
"""Fewer bytes behind `whsec_`: the service does not start.

the same specification
"""
WEBHOOK_SECRET_MAX_BYTES: Final = 64
"""More: the same.

the same specification
"""
DELIVERY_TIMEOUT_S: Final = 15.0
"""One attempt, from the look-up of the host to the head of the answer. Above: it has failed, and the next one comes.

the same specification, which recommends 15 to 30 s
"""
DELIVERY_AT_ONCE_TIMEOUT_S: Final = 5.0
"""The same for the first attempt on Lambda, for which a client may wait. Above: the sweep sends it again."""
DELIVERY_RETRY_AFTER_MAX_S: Final = 86_400
"""A longer `Retry-After` of a receiver is cut to this: the longest pause of the schedule."""
DELIVERIES_AT_ONCE: Final = 25
"""Events that one process sends at once, and that the sweep takes at once."""
DELIVERIES_WAITING_MAX: Final = 1_000
"""Events that wait in one process for their first attempt. Above: the sweep sends them; without a database they are
lost, with an error in the log."""
DELIVERY_LEASE_S: Final = 60.0
"""An event that one process has taken is left alone by others for so long. Less than an attempt takes: it is sent
twice."""
DELIVERED_KEPT_DAYS: Final = 7
"""How long a delivered event stays in the outbox: while a repeated settlement may still write it again."""
DEAD_KEPT_DAYS: Final = 90
"""How long an event that was not delivered can be replayed. Then the sweep deletes it."""
EVENT_BUS_BATCH: Final = 10
"""Events of one call.

[PutEvents](https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html)
"""
EVENT_BUS_ANSWER_MAX_BYTES: Final = 64 * 1024
"""A longer answer of EventBridge is not read: the attempt has failed.

our own choice; ten entries have about 2 kB
"""
