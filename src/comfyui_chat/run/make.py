"""From a request to finished files: a server chosen, prompts run, what they made fetched.

`make` goes around until the files are there or nothing helps. A round of its `RunProgress`:

- `assign` chooses server and workflow together, since what is installed differs from server to
  server, puts the files of the call in place and binds the prompts.
- `run_prompts` has each prompt followed to its end (run/follow.py), and `collect`
  (run/collecting.py) fetches what it made.

A failure that another server may mend begins the next round, which binds anew out of the request as
it was given. What was made before stays, and is handed over in the end, with a note on what is
missing. The result is `RunResult`.
"""

import contextlib
import functools
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..catalogue.choosing import choose
from ..catalogue.lora_facts import lora_notes
from ..catalogue.request import ChosenFile, FittedWorkflow, Request
from ..errors import (
    ComfyUIError,
    CreditsRefused,
    JobLost,
    ModelNotInstalled,
    ModelUnusable,
    RunFailed,
    ServerError,
    ServerGone,
    ServerUnreachable,
    StillRunning,
    UnexpectedAnswer,
    UnknownWorkflow,
    WorkflowRefused,
)
from ..graph.facts import guess_task
from ..graph.nodes import Graph
from ..graph.prices import price_of_all
from ..graph.pruning import saving_anew, with_files_named
from ..media.kinds import OutputFile
from ..media.pictures import InputFile
from ..names import file_stem, quoted, shortened
from ..phrases import Phrase, joined
from ..server.client import ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.pool import open_server
from ..tasks import Turns, gather
from ..threads import FILES
from .collecting import PARALLEL_FILES, Allowance, Collected, collect, is_gone, later_note
from .credits import CLOUD_PRICE, Spending, spent_nothing
from .early_files import EarlyFiles
from .estimates import TimeQuestion, expected_run
from .fleet import Fleet
from .follow import ProgressListener, follow
from .inputs import freshen, place_files
from .job import Job, missed_pictures
from .limits import check_own_nodes
from .options import RunOptions, RunResult
from .owner import JOBS
from .planning import MAX_SEED, BoundPrompts, prepare
from .traces import remove_failed

MOST_UNUSABLE_FILES = 4  # model files that a call tries to no avail
CACHED_NOTE = (
    "ComfyUI had this very picture already: prompt, seed and settings are those of an earlier one"
)


async def make(
    request: Request, fleet: Fleet, listener: ProgressListener, options: RunOptions = RunOptions()
) -> RunResult:
    """From a request to finished files, on the server that will be done soonest. Cancelling it
    cancels the job there.

    After a post that a server may have taken, a prompt is posted at most one more time, there or to
    one other server: when that server lost the job, or when the job, as far as anybody can tell,
    never arrived, since a server that restarts forgets what it took. A job that was executing when
    its server went away is not posted again: it may have brought the server down. A post that a
    server certainly did not take goes to the next one.

    Raises as `RunProgress.assign`, `follow` and `collect` do, unless some files of the call are
    there: then these are the result.
    """
    listener.status("connecting", Phrase("connecting"))
    await Turns.here().come()
    progress = RunProgress(request, await fleet.found(), listener, options)
    result = None
    try:
        while result is None:
            result = await progress.run_round()
    except BaseException:
        progress.close()
        raise
    return result


@dataclass(frozen=True)
class Assignment:
    """A call's prompts, ready to post on the server that was chosen for them."""

    server: ComfyUIServer
    fitted: FittedWorkflow
    prompts: BoundPrompts
    posted: Callable[[], None]  # to be called when the server's queue shows the first of them
    account_key: str = field(default="", repr=False)  # for those that cost something


class RunProgress:
    """A call under way: what it is to make, and what it has made so far, of all its prompts and on
    all the servers that it came to.
    """

    def __init__(
        self, request: Request, fleet: Fleet, listener: ProgressListener, options: RunOptions
    ) -> None:
        self.request = request
        self.fleet = fleet
        self.listener = listener
        self.options = options
        # The same in every round, so that another server makes the same.
        self.random_seed = secrets.randbelow(MAX_SEED + 1)
        self.moment = datetime.now()
        self.allowance = Allowance()
        self.collected: list[Collected] = []  # one for each prompt that is done
        self.whole: list[tuple[Endpoint, str]] = []  # the prompts of which nothing is left to fetch
        self.notes: list[str] = []
        self.parts = 0  # prompts that the call takes
        self.begun = 0.0  # when the first was posted, of `time.monotonic`; 0 before
        self.running = ""  # the id of the job that outlived the wait
        self.gone: set[Endpoint] = set()  # servers that are not tried any more
        self.ran_again = False  # whether a lost job was posted once more
        self.failed: tuple[Assignment, ComfyUIError] | None = None  # why another round is needed
        # model files that could not be loaded
        self.unusable: set[tuple[Endpoint, ChosenFile]] = set()
        self.spending = Spending(options.credits)
        self.time = TimeQuestion(options.long_runs)

    async def run_round(self) -> RunResult | None:
        """Run what is left of the call on the server that will be done soonest. None where that
        failed in a way that the next round may mend.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.spending.give_back_rest)
            try:
                assigned = await stack.enter_async_context(self.assign())
            except ComfyUIError:
                if self.failed is None:
                    raise
                before, error = self.failed
                if not self.collected:
                    raise error from None
                self.note_missing(error.message)
                return self.result(before)
            stack.callback(
                self.fleet.monitor.server, assigned.server.endpoint, assigned.server.record
            )
            await stack.enter_async_context(self.options.memory.shared(assigned.server))
            try:
                await self.run_prompts(assigned)
            except ComfyUIError as error:
                self.failed = assigned, error
                if self.set_model_aside(assigned, error) or self.prepare_next_round(
                    assigned.server, error
                ):
                    return None
                if not self.collected:
                    if isinstance(error, StillRunning) and self.parts > 1:
                        error.message += f" It makes 1 of {self.parts}; the others were not begun."
                    raise
                self.note_missing(error.message)
                if isinstance(error, StillRunning):
                    self.running = error.job_id
            return self.result(assigned)

    def prepare_next_round(self, server: ComfyUIServer, error: ComfyUIError) -> bool:
        """Note what a failure says of its server. Returns whether another round may mend it: on
        another server, or on the same one where that only lost the job.
        """
        is_lost = isinstance(error, JobLost) or (isinstance(error, ServerGone) and error.refused)
        is_untaken = isinstance(error, ServerError) and error.untaken
        is_unfound = isinstance(error, ServerError) and error.unfound
        if is_lost:
            server.record.lost += 1
        if is_lost or is_untaken or is_unfound:
            server.record.rest(
                error.message, silent=isinstance(error, (ServerGone, ServerUnreachable))
            )
        others = set(self.fleet.endpoints) - self.gone - {server.endpoint}
        if is_untaken and others:
            self.gone.add(server.endpoint)
            return True
        if self.spending.paid:  # what it cost may be spent
            return False
        if is_unfound:
            return self.post_elsewhere(server, bool(others))
        was_executing = isinstance(error, (JobLost, ServerGone)) and error.executing
        if is_lost and not was_executing and not self.ran_again:
            return self.run_lost_job_again(server, error, bool(others))
        return False

    def post_elsewhere(self, server: ComfyUIServer, others: bool) -> bool:
        """Whether a job whose post was answered strangely, and which is not there, is posted to
        another server.
        """
        if self.ran_again or not others:
            return False
        self.gone.add(server.endpoint)
        self.ran_again = True
        return True

    def set_model_aside(self, assigned: Assignment, error: ComfyUIError) -> bool:
        """Whether it was a model file of our own choosing that could not be loaded, so that another
        one may do. It is not chosen any more in this call, and by nobody for a while. A file that
        somebody named is not exchanged.
        """
        if not isinstance(error, ModelUnusable):
            return False
        chosen = assigned.fitted.chosen
        named = [(chosen.get(target), name) for target, name in error.files.items()]
        files = [file for file, name in named if file and file.name == name]
        if not files:
            who_named = self.who_named(assigned.fitted)
            if who_named:
                error.add_note(who_named)
            return False
        if self.unusable:
            others = quoted(dict.fromkeys(shortened(file.name) for _, file in self.unusable))
            error.add_note(f"Before it these were tried, which cannot be loaded either: {others}.")
        for file in files:
            assigned.server.record.set_aside(file.folder, file.name, error.predicate)
            self.unusable.add((assigned.server.endpoint, file))
        if len(self.unusable) >= MOST_UNUSABLE_FILES:
            error.add_note(
                "Nobody named them: they were chosen here. Call again to have the next ones tried."
            )
            return False
        error.add_note(
            "Nobody named it: it was chosen here, and there is no other one that would do."
        )
        self.notes.append(f"{error.message} Another one was taken")
        self.listener.status("connecting", Phrase("another_model"))
        return True

    def who_named(self, fitted: FittedWorkflow) -> str:
        """Who named the model file that could not be loaded, as a sentence; "" where the call
        itself did.
        """
        model = self.request.model
        if model and model.level:
            return f"{model.name} names it."
        return (
            f'The workflow "{fitted.workflow.name}" names it.'
            if model is None and fitted.saved
            else ""
        )

    def run_lost_job_again(self, server: ComfyUIServer, error: ComfyUIError, others: bool) -> bool:
        """Whether a job that this server lost is run again: on the same one where that answers
        again, else where there are `others`.
        """
        is_away = isinstance(error, ServerGone)
        if is_away and not others:
            return False
        if is_away:
            self.gone.add(server.endpoint)
        self.ran_again = True
        if not isinstance(error, JobLost) or error.arrived:
            self.notes.append(f"{server.endpoint.name} lost the job, and it was run again")
            self.listener.status("connecting", Phrase("run_again"))
        return True

    def note_missing(self, reason: str) -> None:
        """Note that not all were made, and why."""
        self.notes.append(f"only {len(self.collected)} of {self.parts} were made: {reason}")

    def result(self, assigned: Assignment) -> RunResult:
        """All that was made as the result of the call, with what was chosen in the end."""
        products: list[OutputFile] = []
        texts: list[str] = []
        for collected in self.collected:
            products += collected.products
            texts += collected.texts
        seed = assigned.prompts.seed
        return RunResult(
            products=tuple(replace(product, seed=seed) for product in products),
            seed=seed,
            model=assigned.prompts.model,
            workflow=assigned.fitted.workflow.name,
            seconds=time.monotonic() - self.begun,
            notes=tuple(dict.fromkeys(self.notes)),
            texts=tuple(texts),
            running=self.running,
            left_out=sum(collected.left_out for collected in self.collected),
            used=assigned.prompts.used,
            cost=self.spending.words,
            whole=tuple(self.whole),
        )

    def close(self) -> None:
        """Let go of the files that were made, when the call ends without a result."""
        for collected in self.collected:
            collected.close()

    # Choosing a server, and everything that has to be right before a prompt is posted there.

    @contextlib.asynccontextmanager
    async def assign(self) -> AsyncIterator[Assignment]:
        """The server that will be done soonest of those that have what the request needs, with the
        files in place and the prompts bound. None of those that are `gone`.

        Where one server has the model or workflow of a valve and another has not, the one that has
        it is taken. Raises as `Fleet.in_order` does, and what the first server said where none can
        do it.
        """
        name = ""
        if self.request.workflow:
            name = str(self.request.workflow.value)
        order = await self.fleet.in_order(name, self.gone)
        order.sort(key=self.options.credits.last_resort)
        requests = [self.request]
        insisting = self.request.insisting()
        if len(order) > 1 and insisting != self.request:
            requests = [insisting, self.request]
        refusals: list[ComfyUIError] = []
        too_dear: list[CreditsRefused] = []
        server_errors: list[ServerError] = []
        async with contextlib.AsyncExitStack() as stack:
            for request, endpoint in itertools.product(requests, order):
                server = await stack.enter_async_context(open_server(endpoint))
                coming = stack.enter_context(contextlib.ExitStack())
                coming.enter_context(server.record.expecting())
                try:
                    assignment = await self.bind(server, request, coming.close)
                except (WorkflowRefused, UnknownWorkflow) as error:
                    refusals.append(error)
                except CreditsRefused as error:
                    if error.is_final:
                        raise
                    too_dear.append(error)
                except ServerError as error:
                    server_errors.append(error)
                    if isinstance(error, (ServerUnreachable, ServerGone)):
                        server.record.rest(error.message, silent=True)
                else:
                    yield assignment
                    return
                coming.close()
        if too_dear:
            raise too_dear[0]
        if refusals:
            raise refusals[0]
        raise self.fleet.none_answers(server_errors)

    async def bind(
        self, server: ComfyUIServer, request: Request, posted: Callable[[], None]
    ) -> Assignment:
        """The request bound for one server, with what it costs settled and its files there. These
        are sent last: not before everything else about the call is known to be right.
        """
        request = self.time.applied(request)
        fitted = await choose(server, request, self.options.catalogue)
        if any((server.endpoint, file) in self.unusable for file in fitted.chosen.values()):
            raise ModelNotInstalled("There is no other model that would do.")
        is_users = fitted.from_user and self.fleet.limits.guards_own
        fitted = replace(fitted, from_user=is_users)
        if is_users:
            check_own_nodes(fitted.workflow, self.fleet.limits.own_nodes)
        fitted = await freshen(server, fitted, request)
        fitted, files = await place_files(server, fitted, request)
        request = request.suiting(fitted)
        limits = self.fleet.limits
        what = [fitted.workflow, request]
        prompts = await FILES.run_unless_short(
            what, prepare, fitted, request, limits, self.random_seed, self.moment
        )
        loras = [*prompts.loras, *prompts.saved_loras]
        if loras:
            # the author of a workflow knew what calls its LoRAs when writing its prompt
            called = prompts.saved_loras if prompts.used.get("prompt") else ()
            notes = await lora_notes(
                server, fitted, prompts.workflows[0], prompts.model, loras, called
            )
            prompts = replace(prompts, notes=(*prompts.notes, *notes))
        if await self.settle_time(server, fitted, prompts):
            return await self.bind(server, request, posted)
        account_key = await self.settle_cost(server.endpoint, fitted, prompts)
        if files:
            self.listener.status("uploading", Phrase("uploading"))
            prompts = await _with_uploads(server, prompts, files)
        return Assignment(server, fitted, prompts, posted, account_key)

    async def settle_time(
        self, server: ComfyUIServer, fitted: FittedWorkflow, prompts: BoundPrompts
    ) -> bool:
        """Settle with the user that the prompts which are left may take as long as they will; True
        where they have to be bound anew. Raises `RunDeclined`.
        """
        works = prompts.works[len(self.collected) :]
        run = expected_run(server.record, fitted.workflow.name, prompts.used, works)
        return await self.time.changes(run, lambda text: self.listener.status("asking", text))

    async def settle_cost(
        self, endpoint: Endpoint, fitted: FittedWorkflow, prompts: BoundPrompts
    ) -> str:
        """Settle that the prompts which are left may cost what they do, and return the key of the
        account that pays. Raises `CreditsRefused`.
        """

        def say(text: str) -> None:
            self.listener.status("asking", text)

        left = prompts.prices[len(self.collected) :]
        try:
            return await self.spending.allow(endpoint, left, fitted.workflow.name, say)
        except CreditsRefused as refused:
            refused.task = fitted.task or await FILES.run(guess_task, fitted.workflow.flow)
            raise

    # Running the prompts and fetching what they made.

    async def run_prompts(self, assigned: Assignment) -> None:
        """Run the prompts that are left on the server that was chosen for them, one after the
        other. Raises as `follow` and `collect` do; what was made before stays.
        """
        self.begun = self.begun or time.monotonic()
        self.notes += assigned.prompts.notes
        if self.time.note:
            self.notes.append(self.time.note)
        parts = len(assigned.prompts.workflows)
        if self.collected and parts != self.parts:
            self.note_missing("the other server makes them differently")
            return
        self.parts = parts
        for index in range(len(self.collected), self.parts):
            waited = time.monotonic() - self.begun
            wait = max(self.fleet.limits.wait_seconds - waited, 0.0)
            if self.collected and not wait:
                self.note_missing("the longest wait is over; the others were not begun")
                return
            await self.run_prompt(assigned, index, wait)

    async def run_prompt(self, assigned: Assignment, index: int, wait: float) -> None:
        """Run one of the prompts, for at most `wait` seconds, and fetch what it made.

        ComfyUI tells the old files of what it has made before and does not make again. Where
        somebody has deleted them, it is posted again so that they are saved anew, unless that might
        cost something.
        """
        graph = assigned.prompts.workflows[index].graph
        may_be_old = assigned.prompts.prices[index] is None and not assigned.server.endpoint.cloud
        was_cached = False
        while True:
            async with EarlyFiles(assigned.server, self.fleet.timing, self.allowance.room) as early:
                job, dropped = await self.follow_prompt(assigned, index, graph, wait, early)
                was_cached = was_cached or job.cached >= set(graph)
                anew = (
                    saving_anew(graph, _cached_outputs(job), secrets.token_hex(3))
                    if may_be_old
                    else None
                )
                try:
                    collected = await self.collect_made(assigned, index, job, graph, early)
                except UnexpectedAnswer as error:
                    if anew is None or not is_gone(error):
                        raise
                else:
                    if anew is None or not collected.gone:
                        break
                    collected.close()
                # which has nothing to be fetched any more
                self.whole.append((assigned.server.endpoint, job.prompt_id))
                graph, may_be_old = anew, False
        if not collected.left:
            self.whole.append((assigned.server.endpoint, job.prompt_id))
        job_id = self.fleet.owner.job_id(assigned.server.endpoint, job.prompt_id)
        self.notes += [
            *dropped,
            *missed_pictures(job, graph),
            *collected.notes,
            *later_note(collected.left, job_id),
        ]
        if was_cached:
            self.notes.append(CACHED_NOTE)
        self.collected.append(collected)

    async def follow_prompt(
        self, assigned: Assignment, index: int, graph: Graph, wait: float, early: EarlyFiles
    ) -> tuple[Job, tuple[str, ...]]:
        """Post the graph of one of the prompts and follow it to its end, as `follow` does."""
        prompts = assigned.prompts
        seed = None if prompts.seed is None else prompts.seed + index
        server = assigned.server
        price = prompts.prices[index]
        if server.endpoint.cloud:
            price = price_of_all((CLOUD_PRICE, price))
        amount = self.spending.posting(price)
        try:
            job, dropped = await follow(
                server,
                self.fleet,
                graph,
                self.listener,
                wait=wait,
                part=self.part(index),
                previews=self.options.previews,
                about={
                    "workflow": assigned.fitted.workflow.name,
                    "model": prompts.model,
                    "seed": seed,
                    "name": file_stem(self.request.called, seed),
                    "used": prompts.used,
                    **({"mask": self.options.mask} if self.options.mask else {}),
                },
                posted=assigned.posted,
                account_key=assigned.account_key if price else "",
                work=prompts.works[index],
                announced=early.announced,
            )
        except ComfyUIError as error:
            if spent_nothing(price, error):
                await self.spending.not_spent(price, amount)
            if isinstance(error, RunFailed) and self.options.leaves_no_prompts:
                error.hint = f"{error.hint} {await remove_failed(server, error)}".strip()
            raise
        if price and not server.endpoint.cloud and price.nodes <= job.cached:
            await self.spending.not_spent(price, amount)
        return job, dropped

    async def collect_made(
        self, assigned: Assignment, index: int, job: Job, graph: Graph, early: EarlyFiles
    ) -> Collected:
        """Fetch what one of the prompts made, as `collect` does."""
        self.listener.status("saving", joined(self.part(index), Phrase("saving")))
        server = assigned.server
        try:
            return await collect(
                server,
                job,
                graph,
                self.options.format,
                self.fleet.timing,
                (),
                self.allowance,
                early.take,
            )
        except BaseException as error:
            JOBS.leave(job.prompt_id)
            if isinstance(error, ServerError):
                job_id = self.fleet.owner.job_id(server.endpoint, job.prompt_id)
                error.add_note(
                    f"The run itself went well: check_job may bring its files later, job_id {job_id}."
                )
            raise

    def part(self, index: int) -> str:
        """What stands before what is shown of one of several prompts: "2 of 4"."""
        return Phrase("part", number=index + 1, all=self.parts) if self.parts > 1 else ""


def _cached_outputs(job: Job) -> list[str]:
    """The nodes whose files a job tells of, and which it did not run."""
    return [output.node_id for output in job.outputs if output.node_id in job.cached]


async def _with_uploads(
    server: ComfyUIServer, prompts: BoundPrompts, files: Sequence[InputFile]
) -> BoundPrompts:
    """Send the files to the server; the prompts then name them as the server does, which may have
    chosen other names.
    """
    names = await gather(PARALLEL_FILES, [functools.partial(server.upload, file) for file in files])
    renamed: dict[str, str] = {}
    for file, name in zip(files, names, strict=True):
        if name != file.stored_name:
            renamed[file.stored_name] = name
    if not renamed:
        return prompts
    workflows = [
        replace(one, graph=with_files_named(one.graph, renamed)) for one in prompts.workflows
    ]
    return replace(prompts, workflows=tuple(workflows))
