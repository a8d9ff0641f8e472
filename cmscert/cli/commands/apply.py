"""``cmscert apply``."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import DONE, NEITHER, NODE, RESULT_CODES, code_of, first_of
from cmscert.cli.failures import handled, interrupted
from cmscert.cli.options import INVENTORY, PARALLEL, READING, talks
from cmscert.cli.output import Output, abandoned
from cmscert.errors import InputError, JournalError, NotConfirmed, RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from datetime import datetime
    from typing import Any

    from cmscert.app.apply import ApplyOptions
    from cmscert.app.ports import Ports
    from cmscert.app.rollback import RollbackOptions
    from cmscert.app.running import ApplyResult, Talk
    from cmscert.apply.stop import Stop
    from cmscert.model.events import Event
    from cmscert.model.plan import Plan
    from cmscert.reports.progress import LiveProgress, PlainProgress


@click.command("apply")
@INVENTORY
@click.option(
    "--plan",
    "saved",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Apply exactly this saved plan, or nothing.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--allow", multiple=True, metavar="GUARD", help="Lift a guard by its name; repeatable.")
@click.option("--no-rollback", is_flag=True, help="Leave a service that failed as it is.")
@PARALLEL
@talks(*READING)
def command(
    output: Output,
    inventory: Path,
    saved: Path | None,
    allow: tuple[str, ...],
    parallel: int,
    *,
    yes: bool,
    no_rollback: bool,
) -> int:
    """Plan (or take a saved plan), show it, ask, apply, verify."""
    if saved is not None and output.select:
        raise click.UsageError("--select is part of the saved plan: leave it out with --plan")
    from cmscert.app.apply import ApplyOptions
    from cmscert.apply.stop import Stop

    options = ApplyOptions(
        select=output.select,
        saved=saved,
        allow=allow,
        parallel=parallel,
        rollback=not no_rollback,
        state_dir=output.state_dir,
    )
    stop = Stop()
    conversation = Conversation(output, stop, yes=yes)
    return conclude(conversation, lambda: conversation.apply(inventory, options))


def conclude(conversation: Conversation, work: Callable[[], Coroutine[Any, Any, ApplyResult]]) -> int:
    """Run a use case that changes servers, draw its result and return the code."""
    import asyncio

    output = conversation.output
    try:
        made = asyncio.run(work())
    except RefusedError as error:
        return handled(error, output, code=first_of([code_of(error), NODE * conversation.incomplete]))
    except JournalError as error:
        return handled(error, output, code=NEITHER if conversation.begun else code_of(error))
    except KeyboardInterrupt:
        return interrupted(output, begun=conversation.begun)
    return told(output, made)


class Conversation:
    """What an apply, or a rollback, says and asks on its way."""

    def __init__(self, output: Output, stop: Stop, *, yes: bool) -> None:
        self.output = output
        self.stop = stop
        self.stack = ExitStack()
        self.yes = yes
        self.begun = False
        self.incomplete = False
        self.progress: PlainProgress | LiveProgress | None = None

    async def apply(self, inventory: Path, options: ApplyOptions) -> ApplyResult:
        """Run the use case; progress and signal handlers end with it."""
        from cmscert.app.apply import apply

        return await self.hold(
            lambda ports, talk, now: apply(inventory, ports, talk, now=now, stop=self.stop, options=options)
        )

    async def rollback(self, run: str, options: RollbackOptions) -> ApplyResult:
        """Run the use case; progress and signal handlers end with it."""
        from cmscert.app.rollback import rollback

        return await self.hold(
            lambda ports, talk, now: rollback(run, ports, talk, now=now, stop=self.stop, options=options)
        )

    async def hold(self, work: Callable[[Ports, Talk, datetime], Awaitable[ApplyResult]]) -> ApplyResult:
        """Give a use case the world and whoever started it to talk to."""
        from cmscert.app.clock import utc_now
        from cmscert.app.ports import live_ports
        from cmscert.app.running import Talk
        from cmscert.cli.interrupts import cancellable
        from cmscert.mmp.services import SERVICES
        from cmscert.reports.plan_document import plan_document

        talk = Talk(
            show=self.show,
            confirm=self.confirm,
            started=self.started,
            emit=self.emit,
            document=lambda plan: plan_document(plan, SERVICES),
        )
        ports = live_ports(self.output.note(), self.say)
        with cancellable(), self.stack:
            return await work(ports, talk, utc_now())

    def say(self, text: str) -> None:
        """Tell something that must be seen, between the lines of the progress where there is one."""
        (self.progress.say if self.progress is not None else self.output.say)(text)

    def show(self, plan: Plan) -> None:
        """Show the plan: with the result where that is text for people, otherwise on stderr."""
        from cmscert.mmp.services import SERVICES
        from cmscert.reports.plan_text import plan_text

        output = self.output
        self.incomplete = not plan.complete
        beside = output.form == "json" or output.to_file
        stream = output.err if beside else output.out
        text = plan_text(
            plan,
            SERVICES,
            width=output.width(stream),
            colour=output.colour(stream),
            verbose=output.verbose,
        )
        try:
            with abandoned(stream):
                stream.write(text)
                stream.flush()
        except OSError as error:
            raise NotConfirmed(
                f"nothing was changed: the plan cannot be shown: {(error.strerror or str(error)).lower()}",
                hint="let somebody read stdout to its end, or write it into a file",
            ) from error

    async def confirm(self, plan: Plan) -> bool:
        """Ask, unless the answer was given already."""
        from cmscert.cli.asking import agrees
        from cmscert.reports.plain import counted
        from cmscert.reports.summary import summarise

        if self.yes:
            return True
        if not sys.stdin.isatty():
            raise NotConfirmed("nothing was changed: there is no terminal to ask on", hint="say so with --yes")
        steps = counted(summarise(plan).steps, "step")
        question = f"Apply these {steps} to {plan.fleet}?"
        if plan.rolls_back is not None:
            question = f"Take that run back with these {steps} on {plan.fleet}?"
        return await agrees(f"\n{question} Type yes: ", err=self.output.err)

    def started(self, plan: Plan) -> None:
        """Open the view; from now on Ctrl-C stops the run instead of the process."""
        from cmscert.cli.interrupts import interruptible
        from cmscert.reports.progress import LiveProgress, PlainProgress

        self.begun = True
        output = self.output
        output.say("")
        if output.err.isatty() and not output.verbose and output.log_format == "text":
            steps = Counter(step.server for step in plan.steps)
            live = LiveProgress(output.err, steps, colour=output.colour(output.err), width=output.width(output.err))
            self.progress = self.stack.enter_context(live)
        elif output.log_format == "text":
            self.progress = self.stack.enter_context(PlainProgress(output.err, verbose=output.verbose))
        self.stack.enter_context(interruptible(self.stop, self.progress.say if self.progress else output.say))

    def emit(self, event: Event) -> None:
        """Show an event."""
        if self.progress is not None:
            self.progress(event)
            return
        from cmscert.reports.events import event_facts

        self.output.note()(event.kind, **event_facts(event))


def told(output: Output, made: ApplyResult) -> int:
    """Draw the result and return the code; that a result cannot be drawn weighs less than how the run ended."""
    result = DONE if made.result is None else RESULT_CODES[made.result.result]
    codes = [result, NODE * (not made.plan.complete)]
    try:
        with abandoned(output.out):
            _draw(output, made)
    except InputError as error:
        output.error(error)
        codes.append(code_of(error))
    except OSError as error:
        output.say(f"the result cannot be shown: {(error.strerror or str(error)).lower()}")
    output.failures(made.failures)
    if made.journal is not None:
        output.say(f"journal: {made.journal}")
    return first_of(codes)


def _draw(output: Output, made: ApplyResult) -> None:
    if output.form == "json":
        from cmscert.reports.documents import run_document

        output.document(run_document(made.result, made.plan))
        return
    from cmscert.reports.result_text import run_text

    text = run_text(
        made.result,
        made.plan,
        width=output.result_width,
        colour=output.result_colour,
        verbose=output.verbose,
    )
    output.result(text if output.to_file else f"\n{text}")
