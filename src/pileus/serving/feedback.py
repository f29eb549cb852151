"""Corrections of answers, kept with what was asked: recent answers in memory, corrections in a store.

A front remembers what it has answered lately. What a client says of an answer is its id, the item and the label;
input and answer are those that the front remembers, for a client could send any. A front that does not know the id asks
the others, by way of the supervisor, and the one that knows it keeps the correction.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, NamedTuple, cast

import msgspec
from msgspec import Meta

from pileus.bundles import Manifest
from pileus.data.sources.feedback import FOLDER, Correction, Head, MediaType, prepare_place
from pileus.errors import PileusError, UsageError
from pileus.serving.requests import decoded
from pileus.store import Store, open_store

_log = logging.getLogger(__name__)

_MAX_ANSWERS = 4096
_MAX_BYTES = 64 * 1024 * 1024
"""Of the inputs and answers that one front remembers."""
_MAX_INPUT_BYTES = 8 * 1024 * 1024
"""Greater ones are not remembered."""
_MAX_KEPT = 20_000
"""Corrections in one place."""
_COUNT_EVERY = 256
_MAX_UNDER_WAY = 64
_KEEP_S = 10.0
_OTHERS_S = _KEEP_S + 1.0
"""A front that does not answer for so long is taken for one that does not know."""


class Correct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request to correct."""

    request_id: Annotated[str, Meta(max_length=64)]
    item: Annotated[int, Meta(ge=0, le=1_000_000)]
    label: Annotated[str, Meta(max_length=1000)]


_decode_correct = msgspec.json.Decoder(Correct).decode


class Outcome(NamedTuple):
    status: int
    detail: str = ""


KEPT = Outcome(202)
UNKNOWN = Outcome(404, "there is no such answer here any more: only recent ones can be corrected.")
_BUSY = Outcome(429, "too many corrections are under way; try again later.")

Others = Callable[[Correct], Awaitable[Outcome]]
"""Asks the other fronts; UNKNOWN where none of them knows the answer."""


async def nobody(correct: Correct) -> Outcome:
    """The others of a front that is alone."""
    return UNKNOWN


class Answered(NamedTuple):
    """What is remembered of an answer."""

    manifest: Manifest
    media_type: str
    whole: bool
    input: bytes
    told: bytes
    """The JSON of the prediction from its `text` on."""
    at_s: float


def correct_of(body: bytes) -> Correct:
    """A Refusal where it is none."""
    return decoded(_decode_correct, body, 'a correction is {"request_id": ..., "item": 0, "label": "7"}')


class Recent:
    """The last answers, as far as they find room."""

    def __init__(self, max_answers: int = _MAX_ANSWERS, max_bytes: int = _MAX_BYTES) -> None:
        self._max_answers, self._max_bytes = max_answers, max_bytes
        self._answers: OrderedDict[str, Answered] = OrderedDict()
        self._num_bytes = 0

    def note(self, request_id: str, answered: Answered) -> None:
        """A client may use an id twice: the last answer counts."""
        size = _size(answered)
        if size > min(self._max_bytes, _MAX_INPUT_BYTES):
            return
        former = self._answers.pop(request_id, None)
        self._num_bytes += size - (_size(former) if former else 0)
        self._answers[request_id] = answered
        while self._num_bytes > self._max_bytes or len(self._answers) > self._max_answers:
            _, oldest = self._answers.popitem(last=False)
            self._num_bytes -= _size(oldest)

    def find(self, request_id: str) -> Answered | None:
        return self._answers.get(request_id)


def _size(answered: Answered) -> int:
    return len(answered.input) + len(answered.told)


def prepare_feedback(place: str, manifest: Manifest) -> None:
    """Before serving begins. UsageError where the place is another model's."""
    prepare_place(open_store(place), _head(manifest))


def _head(manifest: Manifest) -> Head:
    return Head(
        classes=manifest.classes, none=manifest.none, several=manifest.several, preprocessing=manifest.preprocessing
    )


class Feedback:
    """Of one front; on its event loop. The store is written by a thread."""

    def __init__(self, place: str) -> None:
        self._store: Store = open_store(place)
        self._recent = Recent()
        self._head: Head | None = None
        """What the place is known to be of."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pileus-feedback")
        self._num_under_way = self._num_asking = 0
        self._num_kept = 0
        self._num_until_counted = 0

    def remember(self, request_id: bytes, answered: Answered) -> None:
        self._recent.note(request_id.decode(), answered)

    async def correct(self, correct: Correct) -> Outcome:
        """Kept, or why not; UNKNOWN where it is not known here."""
        answered = self._recent.find(correct.request_id)
        if answered is None:
            return UNKNOWN
        if self._num_under_way >= _MAX_UNDER_WAY:
            return _BUSY
        self._num_under_way += 1
        try:
            return await self._keep(correct, answered)
        finally:
            self._num_under_way -= 1

    async def correct_anywhere(self, correct: Correct, others: Others) -> Outcome:
        """As `correct`, here or where it is known."""
        outcome = await self.correct(correct)
        if outcome is not UNKNOWN:
            return outcome
        if self._num_asking >= _MAX_UNDER_WAY:
            return _BUSY
        self._num_asking += 1
        try:
            async with asyncio.timeout(_OTHERS_S):
                return await others(correct)
        except TimeoutError:
            return UNKNOWN
        finally:
            self._num_asking -= 1

    async def stop(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _keep(self, correct: Correct, answered: Answered) -> Outcome:
        correction = _correction(correct, answered)
        if isinstance(correction, Outcome):
            return correction
        try:
            async with asyncio.timeout(_KEEP_S):
                return await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._put, correction, _head(answered.manifest)
                )
        except UsageError:
            return Outcome(404, "this server keeps no corrections of the model that gave this answer.")
        except (PileusError, TimeoutError) as error:
            _log.error("a correction could not be kept: %s", str(error) or "the store was silent")
            return Outcome(503, "the correction could not be kept; try again later.")

    def _put(self, correction: Correction, head: Head) -> Outcome:
        if head != self._head:
            prepare_place(self._store, head)
            self._head = head
        if self._num_until_counted == 0:
            self._num_kept = len(self._store.list(FOLDER))
            self._num_until_counted = _COUNT_EVERY
        if self._num_kept >= _MAX_KEPT:
            self._num_until_counted = 0
            return Outcome(503, f"{_MAX_KEPT} corrections are kept already; give them to the training first.")
        self._store.put(correction.key, msgspec.json.encode(correction))
        self._num_kept += 1
        self._num_until_counted -= 1
        return KEPT


def _correction(correct: Correct, answered: Answered) -> Correction | Outcome:
    labels = _head(answered.manifest).labels
    if correct.label not in labels:
        known = ", ".join(labels[:20])
        return Outcome(422, f"the model has no class {correct.label[:50]!r}; label is one of {known}.")
    items: list[dict[str, Any]] = msgspec.json.decode(b"{" + answered.told)["items"]
    if correct.item >= len(items):
        return Outcome(422, f"the answer has no item {correct.item}; item is in [0, {len(items)}).")
    item = items[correct.item]
    x, y, width, height = item["box"]
    return Correction(
        request_id=correct.request_id,
        item=correct.item,
        label=correct.label,
        media_type=cast("MediaType", answered.media_type),
        input=answered.input,
        whole=answered.whole,
        box=(x, y, width, height),
        answered=item["label"] or "",
        confidence=item["confidence"],
        model=answered.manifest.version,
        answered_s=answered.at_s,
        corrected_s=time.time(),
    )
