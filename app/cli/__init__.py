"""The `kdlab` command: its words, and what each of them does.

Exit codes: 0 done, 1 failed, 2 wrong input, 130 stopped by Ctrl-C. What went wrong is one sentence on stderr. Only what
a command needs is imported, so `kdlab --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.common import FAILED, WRONG, prepare
from app.text.consent import ASKED, HELP, OPTION
from kdcore.errors import BadInput
from kdcore.terminal import say, warn

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, as `kdlab runs` lists it.")]
Name = Annotated[str | None, typer.Argument(help="One of them, told with its knobs.")]
RealImages = Annotated[
    bool,
    typer.Option(OPTION, help=f"{ASKED}. {HELP}"),
]
Text = str | None

cli = typer.Typer(
    name="kdlab",
    help="KD Lab: watch one network teach another.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (that of the process when None) and return its exit code."""
    try:
        code = int(cli(arguments, standalone_mode=False) or 0)
        sys.stdout.flush()  # here, where what hinders it can be told
        return code
    except OSError as error:
        return _unwritten(error)
    except BadInput as error:
        warn(error)
        return WRONG
    except UnicodeEncodeError:
        warn(
            "A word of this command is not UTF-8, so no run or setting can be named by it; write it anew.",
        )
        return WRONG
    except typer.TyperException as error:
        if said := error.format_message().rstrip("."):  # nothing where the help was shown instead
            warn(f"{said}. See `kdlab --help`.")
        return error.exit_code


def _unwritten(error: OSError) -> int:
    """Say that a file or the output cannot be written; nothing where whoever read the output has left."""
    if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO):
        raise error
    if error.errno != errno.EPIPE:
        named = error.filename or "The output"
        warn(f"{named} cannot be written ({error.strerror}); free space or choose another place.")
    if error.filename is None:  # what is left in the buffer goes nowhere, also when the process ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


@cli.command()
def app(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the Lab in a browser.")] = True,
    slots: Annotated[int, typer.Option(min=1, max=64, help="Runs at the same time.")] = 1,
    terminal_runs: Annotated[
        bool | None,
        typer.Option(
            help="Let visitors control the runs of this home's command line; by default those on this machine."
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Scheme and host at which browsers reach it through a proxy; again for more."),
    ] = None,
    frame: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="A site that may show it in a frame, such as https://lms.example; again for more."
        ),
    ] = None,
    base: Annotated[
        str, typer.Option(metavar="PATH", help="Path that a proxy keeps before all others, such as /lab.")
    ] = "",
) -> None:
    """Serve the Lab until Ctrl-C."""
    from app.cli.commands.app import serve

    serve(host, port, open_page, slots, terminal_runs, (origin or (), frame or (), base))


@cli.command()
def run(
    data: Annotated[Text, typer.Option(metavar="NAME[:KNOBS]", help="Data set; it recommends all the rest.")] = None,
    method: Annotated[Text, typer.Option(metavar="NAME[:KNOBS]", help="Distillation method.")] = None,
    teacher: Annotated[Text, typer.Option(metavar="NAME[:KNOBS]", help="Teacher's network, or none.")] = None,
    student: Annotated[Text, typer.Option(metavar="NAME[:KNOBS]", help="Student's network.")] = None,
    seed: Annotated[Text, typer.Option(metavar="N", help="Seed of the student; the teacher keeps its own.")] = None,
    steps: Annotated[Text, typer.Option(metavar="N", help="Optimiser steps of the student.")] = None,
    lr: Annotated[Text, typer.Option(metavar="X", help="Peak learning rate of the student.")] = None,
    batch: Annotated[Text, typer.Option(metavar="N", help="Samples in a batch.")] = None,
    device: Annotated[Text, typer.Option(metavar="auto|cpu|cuda", help="Where networks live.")] = None,
    access: Annotated[Text, typer.Option(metavar="LEVEL", help="What the teacher grants; white_box is all.")] = None,
    preset: Annotated[
        Text,
        typer.Option(metavar="NAME[:SETTINGS]", help="A preset of the Black box page, such as quick:budget=10000."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Any other setting; may be given often.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP:PATH=VALUE", help="A setting that changes during the run, such as 300:method.temperature=8."
        ),
    ] = None,
    spec: Annotated[Text, typer.Option(metavar="FILE", help="Start from a spec or a run in JSON; - is stdin.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what was run before.")] = False,
    send_local: Annotated[
        bool, typer.Option("--send-local", help="A remote teacher may be sent local (real) images to learn from.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON event a line; the last holds the result.")
    ] = False,
) -> int:
    """Train a student here, without a browser, and keep the run for the Lab.

    KNOBS are knob=value,knob=value, or one value for the first knob: --method kd:temperature=2, --student resnet:20.
    """
    from app.cli.arguments import allows_local, wanted
    from app.cli.commands.run import distil
    from app.text.sending import check_sending

    prepare()
    flags = {
        "data": data,
        "method": method,
        "teacher" if teacher == "none" else "teacher.student": teacher,
        "student": student,
        "seed": seed,
        "schedule.steps": steps,
        "schedule.lr": lr,
        "schedule.batch": batch,
        "device": device,
        "access": access,
        "preset": preset,
    }
    asked = wanted(spec, flags, setting or [], change or [])
    if not (send_local or allows_local(preset)):
        check_sending(asked)
    return distil(asked, fresh=fresh, json=json)


@cli.command()
def resume(
    run: RunId,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON event a line, from where it goes on; the last is the result.")
    ] = False,
) -> int:
    """Go on here with a run that was stopped, failed or interrupted, from its last checkpoint."""
    from app.cli.commands.run import resume as go_on

    prepare()
    return go_on(run, json=json)


@cli.command()
def runs(json: Json = False) -> None:
    """List the runs, newest first."""
    from app.cli.commands.show import list_runs

    list_runs(json)


@cli.command()
def show(run: RunId, json: Json = False) -> None:
    """Tell what a run was asked, how it went and what came out."""
    from app.cli.commands.show import show_run

    prepare()
    show_run(run, json)


@cli.command()
def export(
    run: RunId,
    place: Annotated[Path, typer.Argument(metavar="DEST", help="A folder, or a file, that does not exist yet.")],
    temperature: Annotated[
        Text,
        typer.Option(metavar="auto|T", help="Write only the student, its logits divided by T, as a safetensors file."),
    ] = None,
    real_images: RealImages = False,
) -> None:
    """Write a run's record to a folder that any KD Lab can show, or its student at a temperature to a file."""
    from app.cli.commands.export_temperature import check_ending

    check_ending(place, temperature)
    prepare()
    if temperature is not None:
        from app.cli.commands.export_temperature import temper

        temper(run, place, temperature)
    from app.cli.commands.serve import export_run

    export_run(run, place, real_images)


@cli.command("import")
def import_(
    place: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `kdlab export` wrote, or a zip of it.")],
) -> None:
    """Bring a record from another KD Lab into this one, and print its run's id."""
    from app.cli.commands.serve import import_run

    prepare()
    import_run(place)


@cli.command()
def inspect(
    student: RunId,
    teacher: Annotated[Text, typer.Option(metavar="RUN", help="Another teacher than the student's own.")] = None,
    where: Annotated[Literal["val", "test", "train"], typer.Option(help="Which rows they are asked about.")] = "test",
    send_rows: Annotated[
        bool,
        typer.Option("--send-rows", help="A remote teacher may be sent rows, which are counted and paid for."),
    ] = False,
    json: Json = False,
) -> None:
    """Tell where a student and its teacher disagree: who is right, how often, and what is copied."""
    from app.cli.commands.inspect import inspect as tell

    prepare()
    tell(student, teacher, where, json, send_rows)


@cli.command()
def mimic(
    run: RunId,
    depth: Annotated[int, typer.Option(min=1, max=30, help="Largest depth of the trees; one without limit too.")] = 6,
    of_class: Annotated[Text, typer.Option("--class", metavar="NAME", help="Whose score is additive.")] = None,
    row: Annotated[int, typer.Option(metavar="N", help="Probe row whose path through the tree is told.")] = 0,
    json: Json = False,
) -> None:
    """Tell how well a tree and an additive model stand in for the teacher of a run."""
    from app.cli.commands.mimic import mimic as tell

    prepare()
    tell(run, depth, of_class, row, json)


@cli.command()
def verdict(
    run: RunId,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write one HTML file that opens anywhere.")
    ] = None,
    real_images: RealImages = False,
) -> None:
    """Say what a run behind a wall learned, what it cost and what leaked."""
    from app.cli.commands.verdict import judge

    prepare()
    judge(run, out, real_images)


@cli.command()
def serve(
    run: RunId,
    access: Annotated[
        str, typer.Option(metavar="LEVEL", help="What it answers with: logits, probabilities or labels.")
    ] = "probabilities",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8500,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
) -> None:
    """Put a finished run up as a teacher for others: a server of the Open Inference Protocol, until Ctrl-C."""
    from app.cli.commands.serve import serve_run

    prepare()
    serve_run(run, access, host, port)


@cli.command()
def upload(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX file, or weights as safetensors.")],
) -> None:
    """Try and keep a file for a teacher, and print the name by which a run asks for it."""
    from kdcore.upload_checks.on_upload import receive

    say(receive(file))


@cli.command()
def study(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A study in YAML, such as assets/studies/catalogue.yaml.")
    ],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Trials at the same time.")] = 2,
    table: Annotated[bool, typer.Option("--table", help="Only write the tables of what has been done.")] = False,
    send_local: Annotated[
        bool, typer.Option("--send-local", help="A remote teacher may be sent local (real) images to learn from.")
    ] = False,
) -> None:
    """Do what is left of a study, and write its results beside its file."""
    from app.cli.commands.study import study as do

    prepare()
    do(file, jobs, table, send_local)


@cli.command()
def worker() -> int:
    """Warm up, read the id of a waiting run from stdin, do it; the Lab starts such workers by itself."""
    from kdcore.jobs.worker import main as work

    return work()


@cli.command()
def methods(name: Name = None, json: Json = False) -> None:
    """List the distillation methods, or tell all about one."""
    _catalogue("method", name, json)


@cli.command()
def models(name: Name = None, json: Json = False) -> None:
    """List the families of networks, or tell all about one."""
    _catalogue("model", name, json)


@cli.command()
def teachers(name: Name = None, json: Json = False) -> None:
    """List the kinds of teachers that are no runs of ours, or tell all about one."""
    _catalogue("teacher", name, json)


@cli.command()
def data(name: Name = None, json: Json = False) -> None:
    """List the data sets, or tell all about one."""
    _catalogue("data", name, json)


def _catalogue(kind: str, name: str | None, json: bool) -> None:
    from app.cli.commands.show import list_kind, show_entry

    prepare()
    if name is None:
        list_kind(kind, json)
    else:
        show_entry(kind, name, json)
