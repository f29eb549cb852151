"""The model at work in one front: its life (starting, ready, draining), the way of one prediction, the swap."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple
from urllib.parse import parse_qs

import numpy as np

from pileus.bundles import Manifest
from pileus.errors import PileusError
from pileus.serving.answers import JSON, Answer, Refusal
from pileus.serving.batching import PAST_DUE, Admission, Job, QueueFull
from pileus.serving.connection import Request
from pileus.serving.crew import Crew, Patience
from pileus.serving.feedback import Answered, Feedback
from pileus.serving.frames import Kind, Piece, Question, Reply
from pileus.serving.instruments import Instruments, Now
from pileus.serving.links import Supply
from pileus.serving.metrics import Values
from pileus.serving.pages import bundle_pages
from pileus.serving.requests import (
    RAW,
    STROKES,
    Limits,
    candidates_of_picture_body,
    check_raw,
    deadline_of,
    media_type_of,
)
from pileus.serving.shadow import Asked, Shadow
from pileus.serving.tensors import JSON_LENGTH, json_bytes_of, question_of
from pileus.spec.values import Spec

State = Literal["starting", "ready", "draining"]

_log = logging.getLogger(__name__)
_PREPARING_THREADS = 2
_MAX_PREPARING = 64
"""Pictures that are decoded or wait for it."""
_MAX_QUERIES = 256
_RETRY_S = 1.0
"""What a client is told to wait at least."""
_MOST_COMPUTE_S = 1.0
"""Of one request for tensors: what takes longer is to be asked in parts."""
_STROKES_AN_IMAGE = 4096
"""Bytes of strokes that count as one more image: some 300 points, which take their time to draw."""
_BINARY = b"application/octet-stream"


class Settings(Spec, frozen=True, kw_only=True):
    admission: Admission = Admission()
    patience: Patience = Patience()
    limits: Limits = Limits()


class Model:
    """One model, its predictors, and what requests for it have in common."""

    def __init__(self, manifest: Manifest, onnx: bytes, crew: Crew, limits: Limits) -> None:
        self.manifest, self.crew = manifest, crew
        self.most_images = max(1, min(limits.images, int(_MOST_COMPUTE_S / max(crew.queue.cost_s(1), 1e-6))))
        """Of one request for tensors."""
        self.num_preparing = 0
        """Its pictures that are decoded or wait for it."""
        self.bundle_pages = {path.encode(): page for path, page in bundle_pages(manifest, onnx).items()}
        name = f'"model":{{"name":{json.dumps(manifest.name)},"version":{json.dumps(manifest.short_version)}}},'
        self.prefix = name.encode()
        """Between the request's id and the text, in the JSON of an answer."""
        self.queries: dict[bytes, bool] = {b"": False}
        """Those that have been checked, and whether they ask for all as one item."""


class Plan(NamedTuple):
    """What the head of a prediction's request asks for."""

    model: Model
    media_type: str
    """Of a request for tensors it is not asked."""
    whole: bool
    due: float
    explicit: bool
    """The deadline is the client's."""
    json_bytes: int | None = None
    """Of a request for tensors that has binary ones behind its JSON."""


def version_asked(request: Request) -> str:
    """Of the model that a prediction is asked of; empty for other requests."""
    return request.plan.model.manifest.short_version if isinstance(request.plan, Plan) else ""


class Service:
    """On one event loop, between `start` and `stop`."""

    def __init__(
        self,
        settings: Settings,
        num_connections: Callable[[], int],
        failed: Callable[[PileusError], None],
        slot: tuple[Values, int] | None = None,
        feedback: Feedback | None = None,
    ) -> None:
        """`failed` is called when nothing can be answered any more; `slot` is a page of metrics and the place in it."""
        self.state: State = "starting"
        self.feedback = feedback
        self.shadow: Shadow | None = None
        """Of the model that answers, where it has one."""
        self._settings, self._failed = settings, failed
        self._model: Model | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._num_preparing = 0
        self._preparing = ThreadPoolExecutor(_PREPARING_THREADS, thread_name_prefix="pileus-preparing")
        self._loop = asyncio.get_running_loop()
        now = Now(
            ready=lambda: self.state == "ready",
            queued=lambda: len(self._model.crew.queue) if self._model else 0,
            under_way=lambda: self._num_preparing + (self._model.crew.under_way if self._model else 0),
            connections=num_connections,
            predictors=lambda: self._model.crew.num_ready if self._model else 0,
            version=lambda: self._model.manifest.short_version if self._model else "",
        )
        self.instruments = Instruments(now, *(slot or ()))

    @property
    def manifest(self) -> Manifest:
        """503 before there is a model."""
        return self._present().manifest

    @property
    def bundle_pages(self) -> dict[bytes, Answer]:
        """By path. 503 before there is a model."""
        return self._present().bundle_pages

    async def start(self, supply: Supply) -> None:
        """Until its predictors are warm. WorkFailed where they cannot be."""
        met = threading.Barrier(_PREPARING_THREADS)
        for _ in range(_PREPARING_THREADS):
            self._preparing.submit(met.wait, _RETRY_S)  # all threads are there before the first picture
        self._model = await self._begun(supply)
        if self.state == "starting":
            self.state = "ready"

    async def swap(self, supply: Supply) -> None:
        """Change to another model when it is warm; what the former has queued, it answers. WorkFailed: no change."""
        try:
            model = await self._begun(supply)
        except PileusError:
            self.instruments.swaps.add("refused")
            raise
        former, self._model = self._model, model
        self.instruments.swaps.add("done")
        if former is not None:
            task = self._loop.create_task(self._let_go(former), name="pileus-former-model")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def follow(self, shadow: Shadow | None) -> None:
        """Compare with this one from now on, or with none."""
        former, self.shadow = self.shadow, shadow
        if shadow is not None:
            shadow.start()
        if former is not None:
            await former.stop()

    def tick(self, now: float) -> None:
        if self._model is not None:
            self._model.crew.tick(now)
        if self.shadow is not None:
            self.shadow.tick(now)

    def drain(self) -> None:
        """Not ready any more; who asks all the same is answered."""
        self.state = "draining"

    async def stop(self) -> None:
        self.drain()
        if self._model is not None:
            await self._model.crew.stop()
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self.follow(None)
        if self.feedback is not None:
            await self.feedback.stop()
        await asyncio.to_thread(self._preparing.shutdown, cancel_futures=True)
        self.instruments.forget_now()

    def check_ready(self) -> None:
        """503 unless ready."""
        if self.state != "ready":
            raise Refusal(503, f"the server is {self.state}; try again.", retry_after_s=_RETRY_S)

    def check_head(self, request: Request) -> int:
        """The most bytes of its body; makes its plan. All that a head can be refused for comes before the body."""
        model = self._present()
        whole = model.queries.get(request.query)
        if whole is None:
            whole = self._checked_query(model, request.query)
        media_type = media_type_of(request.headers, model.manifest.preprocessing)
        limits = self._settings.limits
        due = request.started + deadline_of(request.headers, limits)
        request.plan = Plan(model, media_type, whole, due, b"x-deadline-ms" in request.headers)
        return limits.strokes_bytes if media_type == STROKES else limits.body_bytes

    def check_model(self, model: str, version: str | None = None) -> None:
        """404 unless it is this one."""
        manifest = self.manifest
        if model != manifest.name or version not in (None, manifest.short_version, manifest.version):
            wanted = model if version is None else f"{model}@{version}"
            here = f"{manifest.name}@{manifest.short_version}"
            raise Refusal(404, f"there is no model {wanted[:100]!r} here, only {here}; see /v1/models.")

    def check_inference_head(self, request: Request, model: str, version: str | None = None) -> int:
        """As `check_head`, for tensors."""
        present, limits = self._present(), self._settings.limits
        self.check_model(model, version)
        json_bytes = json_bytes_of(request.headers, limits)
        due = request.started + deadline_of(request.headers, limits)
        request.plan = Plan(present, "", False, due, b"x-deadline-ms" in request.headers, json_bytes)
        return limits.strokes_bytes if json_bytes is None else limits.body_bytes

    def is_outdated(self, request: Request) -> bool:
        """Whether the model has changed since the head was checked, so that it must be checked once more."""
        return isinstance(request.plan, Plan) and request.plan.model is not self._model

    def begin_inference(self, request: Request) -> None:
        """As `begin`, for tensors."""
        plan = request.plan
        assert isinstance(plan, Plan)
        body, request.body = bytes(request.body), b""
        model = plan.model
        self._submit(request, plan, question_of(body, plan.json_bytes, model.manifest, model.most_images))

    def begin(self, request: Request) -> None:
        """One prediction; answered later. May raise a Refusal."""
        plan = request.plan
        assert isinstance(plan, Plan)
        body = bytes(request.body)
        request.body = b"" if self.feedback is None and self.shadow is None else body
        if not body:
            raise Refusal(400, "the body is empty; send a picture, the model's input or strokes.")
        if plan.media_type == RAW:
            check_raw(body, plan.model.manifest.preprocessing)
            self._submit(request, plan, Question(Kind.RAW, body))
        elif plan.media_type == STROKES:
            weight = 1 + len(body) // _STROKES_AN_IMAGE
            self._submit(request, plan, Question(Kind.STROKES, body, plan.whole, weight=weight))
        else:
            self._prepare(request, plan, body)

    def _present(self) -> Model:
        if self._model is None:
            self.check_ready()
            raise Refusal(503, "the server is stopping; try again.", retry_after_s=_RETRY_S)
        return self._model

    async def _begun(self, supply: Supply) -> Model:
        settings = self._settings
        crew = Crew(
            supply.make_link, supply.num_links, settings.admission, settings.patience, self.instruments, self._failed
        )
        try:
            await crew.start()
        except BaseException:
            await crew.stop()
            raise
        return Model(supply.manifest, supply.onnx, crew, settings.limits)

    async def _let_go(self, model: Model) -> None:
        """A model that has been replaced: after its last answer."""
        try:
            async with asyncio.timeout(self._settings.limits.deadline_s):
                while model.num_preparing or model.crew.under_way:
                    model.crew.tick(time.monotonic())
                    await asyncio.sleep(0.05)
        except TimeoutError:
            _log.warning("the former model still had requests; they are refused")
        finally:
            await model.crew.stop()

    def _prepare(self, request: Request, plan: Plan, body: bytes) -> None:
        if self._num_preparing >= _MAX_PREPARING:
            self.instruments.shed.add("queue")
            raise _too_many(_RETRY_S)
        self._num_preparing += 1
        plan.model.num_preparing += 1
        limits, spec = self._settings.limits, plan.model.manifest.preprocessing

        def prepared() -> Question:
            candidates = candidates_of_picture_body(body, spec, limits, whole=plan.whole)
            images_NHWC = np.stack([candidate.item.image_HWC for candidate in candidates])
            pieces = [Piece(each.start, each.stop, each.prior, each.item.box) for each in candidates]
            return Question(Kind.RAW, images_NHWC.tobytes(), pieces=pieces, weight=len(pieces))

        work = self._loop.run_in_executor(self._preparing, prepared)
        work.add_done_callback(lambda done: self._prepared(request, plan, done))

    def _prepared(self, request: Request, plan: Plan, done: asyncio.Future[Question]) -> None:
        self._num_preparing -= 1
        plan.model.num_preparing -= 1
        try:
            if done.cancelled():
                raise Refusal(503, "the server was stopped; try again.", retry_after_s=_RETRY_S)
            self._submit(request, plan, done.result())
        except Refusal as refusal:
            request.refuse(refusal)
        except Exception as error:
            self._settle(Job(_NOTHING, request, plan.due, self._settle), Reply(500, str(error).encode()))

    def _submit(self, request: Request, plan: Plan, question: Question) -> None:
        job = Job(question, request, plan.due, self._settle)
        try:
            plan.model.crew.submit(job)
        except QueueFull as full:
            self.instruments.shed.add("queue")
            raise _too_many(full.wait_s) from full
        if plan.explicit:
            self._loop.call_later(plan.due - time.monotonic(), job.settle, PAST_DUE)

    def _settle(self, job: Job, reply: Reply) -> None:
        request, plan = job.request, job.request.plan
        assert isinstance(plan, Plan)
        if reply.status != 200:
            request.refuse(self._refused(request, plan, reply))
            return
        own_lines = b"server-timing: total;dur=%.2f\r\n" % ((time.monotonic() - request.started) * 1000)
        if job.question.tensors is None:
            body = b'{"request_id":"%b",%b%b' % (request.id, plan.model.prefix, reply.body)
            if self.feedback is not None:
                self._remember(self.feedback, request, plan, reply)
            request.answer(Answer(200, JSON, body, own_lines=own_lines))
            if self.shadow is not None and request.body and self.shadow.wants(plan.model.manifest):
                self.shadow.note(_asked(job, plan, reply))
        elif reply.json_bytes:
            own_lines += b"%b: %d\r\n" % (JSON_LENGTH, reply.json_bytes)
            request.answer(Answer(200, _BINARY, reply.body, own_lines=own_lines))
        else:
            request.answer(Answer(200, JSON, reply.body, own_lines=own_lines))

    def _remember(self, feedback: Feedback, request: Request, plan: Plan, reply: Reply) -> None:
        answered = Answered(
            plan.model.manifest, plan.media_type, plan.whole, bytes(request.body), reply.body, time.time()
        )
        feedback.remember(request.id, answered)

    def _refused(self, request: Request, plan: Plan, reply: Reply) -> Refusal:
        if reply.status == 504:
            self.instruments.shed.add("deadline")
            allowed_ms = (plan.due - request.started) * 1000
            return Refusal(504, f"no answer within {allowed_ms:.4g} ms; allow more or try again.")
        if reply.status == 503:
            return Refusal(503, "the server was stopped; try again.", retry_after_s=_RETRY_S)
        if reply.status == 500:
            name, reason = request.id.decode(), reply.body.decode(errors="replace")
            _log.error("request %s failed: %s", name, reason, extra={"request_id": name})
            return Refusal(500, "the server failed; its log has the reason.")
        return Refusal(reply.status, reply.body.decode())

    def _checked_query(self, model: Model, query: bytes) -> bool:
        """`model` must be this one; `segment` may be `none`, which takes all as one item."""
        try:
            asked = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=16)
        except ValueError as error:
            raise Refusal(400, "the query cannot be decoded; use ?model=NAME[@VERSION] and ?segment=none.") from error
        for wanted in asked.get("model", []):
            name, _, version = wanted.partition("@")
            self.check_model(name, version or None)
        for segment in asked.get("segment", []):
            if segment != "none":
                raise Refusal(422, f"segment may be 'none' (got {segment[:20]!r}); leave it out.")
        whole = "segment" in asked
        if len(model.queries) < _MAX_QUERIES:
            model.queries[query] = whole
        return whole


_NOTHING = Question(Kind.RAW, b"")


def _asked(job: Job, plan: Plan, reply: Reply) -> Asked:
    request = job.request
    return Asked(request.id, plan.media_type, plan.whole, bytes(request.body), job.question, reply.body)


def _too_many(wait_s: float) -> Refusal:
    return Refusal(429, "too many requests are under way; try again later.", retry_after_s=max(wait_s, _RETRY_S))
