"""``globalpool``: one thin function a command."""

import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from globalpool import __version__
from globalpool.cli.audit_options import AuditOptions
from globalpool.cli.federate_options import FederateOptions
from globalpool.cli.options import (
    AdoptOptions,
    CheckOptions,
    CostOptions,
    DemoOptions,
    ExplainOptions,
    LocalizeOptions,
    PredictOptions,
    ResumeOptions,
    SlimOptions,
    TrainOptions,
)
from globalpool.cli.parsers import Parser
from globalpool.errors import GlobalPoolError

#: Commands whose module, imported when it is asked for, runs on these options alone.
OPTIONS: dict[str, type] = {
    "adopt": AdoptOptions,
    "check": CheckOptions,
    "cost": CostOptions,
    "demo": DemoOptions,
    "federate": FederateOptions,
    "resume": ResumeOptions,
    "slim": SlimOptions,
    "train": TrainOptions,
}
FEDERATE_TARGET = (
    "of simulate: a pyproject.toml that init wrote (default: packaged digits, three clients at 64, 96 and 160 px); of "
    "init: the folder to write to"
)
#: What an interruption leaves.
STOPPED = {
    "explain": "what was finished is in the output folder",
    "predict": "what was finished is in the output folder",
    "localize": "what was finished is in the output folder",
    "demo": "what was finished is in the output folder",
    "train": "continue it by globalpool resume RUN",
    "resume": "continue it by globalpool resume RUN",
    "federate": "the same command goes on after the last whole round",
}


def build_parser() -> Parser:
    """The parser of all commands; torch is not imported for it."""
    parser = Parser(prog="globalpool", version=__version__, description="Global pooling: every logit is a map.")
    commands = parser.add_subcommands(required=True, dest="command")
    explain = Parser(description="Show what each position of a picture gave each class.")
    explain.add_argument(
        "pictures",
        nargs="*",
        default=[],
        help="files, or folders searched for pictures (default: photographs packaged with scikit-image)",
    )
    explain.add_argument("--config", action="config", help="file with these options (YAML)")
    explain.add_class_arguments(ExplainOptions, as_group=False, skip={"overwrite"})
    explain.add_argument("--overwrite", action="store_true", help="replace an earlier explanation in that folder")
    commands.add_subcommand("explain", explain, help="pictures in, a folder with evidence out")
    adopt = _of_a_model("Take a network apart into trunk, pool and tail, and prove that they are the network.")
    adopt.add_class_arguments(AdoptOptions, as_group=False, skip={"model"})
    commands.add_subcommand("adopt", adopt, help="trunk, pool and tail of a network")
    cost = _of_a_model("Count and time one pass of a network, by trunk, pool and tail.")
    cost.add_class_arguments(CostOptions, as_group=False, skip={"model"})
    commands.add_subcommand("cost", cost, help="parameters, multiply-adds, memory and time")
    check = Parser(description="Look for mistakes in a folder or table of pictures before training on it.")
    check.add_argument(
        "data", type=str, metavar="DATA", help="folder with one subfolder of pictures a class, or a CSV file"
    )
    check.add_class_arguments(CheckOptions, as_group=False, skip={"data"})
    commands.add_subcommand("check", check, help="what a data set holds, and what is wrong with it")
    slim = _of_a_model("Put a pool and one linear layer in place of a network's head, fitted to your pictures.")
    slim.add_argument("--config", action="config", help="file with these options (YAML)")
    slim.add_class_arguments(SlimOptions, as_group=False, skip={"model", "overwrite"})
    slim.add_argument("--overwrite", action="store_true", help="replace an earlier file of that name")
    commands.add_subcommand("slim", slim, help="a light head, fitted to a folder of pictures")
    _add_training(commands)
    _add_audit(commands)
    demo = Parser(description="Explain packaged photographs, and train, judge and report on packaged digits.")
    demo.add_class_arguments(DemoOptions, as_group=False, skip={"overwrite"})
    demo.add_argument("--overwrite", action="store_true", help="replace an earlier demonstration in that folder")
    commands.add_subcommand("demo", demo, help="see both on packaged data, in under four minutes")
    federate = Parser(description="Train over clients of every resolution, whose pictures stay where they are.")
    federate.add_argument(
        "action", choices=("simulate", "init"), help="run all clients here, or write a deployment's file"
    )
    federate.add_argument("target", nargs="?", type=str, metavar="CONFIG or DIR", help=FEDERATE_TARGET)
    federate.add_class_arguments(FederateOptions, as_group=False, skip={"action", "target"})
    commands.add_subcommand("federate", federate, help="federated learning by Flower: simulate, init")
    commands.add_subcommand("models", Parser(description="List the networks that have a name."), help="list networks")
    commands.add_subcommand("pools", Parser(description="List the pools."), help="list pools with their formula")
    return parser


def _add_training(commands: Any) -> None:
    train = Parser(description="Train a classifier on your own pictures, of any and of mixed sizes.")
    train.add_argument(
        "data",
        type=str,
        metavar="DATA",
        help="folder with one subfolder of pictures a class (or train, val and test folders of such), or a CSV file "
        "with the columns path and label",
    )
    train.add_argument("--config", action="config", help="file with these options (YAML)")
    train.add_argument("--out", type=str, required=True, metavar="RUN", help="folder of the run, new or empty")
    train.add_class_arguments(TrainOptions, as_group=False, skip={"data", "out", "tensorboard"})
    train.add_argument("--tensorboard", action="store_true", help="also write the curve to RUN/tensorboard")
    commands.add_subcommand("train", train, help="a folder of pictures in, a run with a classifier out")
    resume = Parser(description="Continue a run that was interrupted, bit for bit on the CPU.")
    resume.add_argument("run", type=str, metavar="RUN", help="folder that `globalpool train` wrote")
    resume.add_class_arguments(ResumeOptions, as_group=False, skip={"run"})
    commands.add_subcommand("resume", resume, help="continue an interrupted run")
    predict = Parser(description="Tell the classes of pictures by a trained run.")
    predict.add_argument("run", type=str, metavar="RUN", help="folder that `globalpool train` wrote")
    predict.add_argument(
        "inputs",
        nargs="+",
        type=str,
        metavar="INPUT",
        help="files, folders searched for pictures, patterns such as 'in/*.png', or - for paths on standard input",
    )
    predict.add_argument("--config", action="config", help="file with these options (YAML)")
    predict.add_argument("--out", type=str, required=True, metavar="DIR", help="folder to write to, new or empty")
    predict.add_class_arguments(PredictOptions, as_group=False, skip={"run", "out"})
    predict.add_argument("--evidence", action="store_true", help="also explain every picture, in DIR/evidence")
    commands.add_subcommand("predict", predict, help="pictures in, predictions.csv out")
    localize = Parser(description="Draw boxes around what a trained run sees in pictures, and judge them.")
    localize.add_argument("run", type=str, metavar="RUN", help="folder that `globalpool train` wrote")
    localize.add_argument(
        "inputs",
        nargs="+",
        type=str,
        metavar="INPUT",
        help="pictures as for `globalpool predict`, or one CSV file with the columns path, x, y, width, height (and "
        "label) of true boxes, which are then judged",
    )
    localize.add_argument("--config", action="config", help="file with these options (YAML)")
    localize.add_argument("--out", type=str, required=True, metavar="DIR", help="folder to write to, new or empty")
    localize.add_class_arguments(LocalizeOptions, as_group=False, skip={"run", "out"})
    localize.add_argument("--masks", action="store_true", help="also write the foreground of every picture, DIR/masks")
    commands.add_subcommand("localize", localize, help="pictures in, boxes.csv out")


def _add_audit(commands: Any) -> None:
    audit = _of_a_model("Say how a trained classifier behaves at other sizes, shifted, under noise, and why.")
    audit.add_argument(
        "data",
        nargs="*",
        default=[],
        metavar="DATA",
        help="pictures, folders searched for them, a folder with one subfolder a class, or a CSV file with the columns "
        "path and label (default: photographs packaged with scikit-image)",
    )
    audit.add_argument("--config", action="config", help="file with these options (YAML)")
    audit.add_class_arguments(AuditOptions, as_group=False, skip={"model", "data"})
    audit.add_argument("--strict", action="store_true", help="exit code 1 when an audit fails")
    commands.add_subcommand("audit", audit, help="predicted and measured behaviour of a classifier")


def _of_a_model(description: str) -> Parser:
    parser = Parser(description=description)
    parser.add_argument(
        "model",
        type=str,
        metavar="MODEL",
        help="a name of `globalpool models`; a name of timm or torchvision (timm:resnet18, torchvision:vgg16, or "
        "plain); a .safetensors file",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 1 when nothing could be read or data have errors, 2 when it cannot be done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name must not end the work
    # Torch says it to itself when torch_geometric is imported.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    parsed: dict[str, Any] = build_parser().parse_args(arguments).as_dict()
    command = parsed["command"]
    options = parsed.get(command) or {}
    options.pop("config", None)
    try:
        return _run(command, options)
    except GlobalPoolError as error:
        print(f"globalpool {command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"globalpool {command}: {error}. Check the output folder and the disk.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        what = STOPPED.get(command, "nothing was written")
        print(f"globalpool {command}: stopped; {what}.", file=sys.stderr)
        return 130


def _run(command: str, options: dict[str, Any]) -> int:
    if "WORLD_SIZE" in os.environ:
        # Torch reads it when imported. It would tell that every parameter took part, which is no fault.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if command in OPTIONS:
        code: int = import_module(f"globalpool.cli.{command}").run(OPTIONS[command](**options))
        return code
    if command == "explain":
        from globalpool.cli import explain

        return explain.run(options.pop("pictures") or [], ExplainOptions(**options))
    if command == "audit":
        from globalpool.cli import audit

        strict, paths = options.pop("strict"), tuple(options.pop("data") or ())
        return audit.run(AuditOptions(data=paths, **options), strict)
    if command == "predict":
        from globalpool.cli import predict

        return predict.run(options.pop("inputs"), options.pop("evidence"), PredictOptions(**options))
    if command == "localize":
        from globalpool.cli import localize

        return localize.run(options.pop("inputs"), options.pop("masks"), LocalizeOptions(**options))
    from globalpool.cli import listing

    return listing.print_models() if command == "models" else listing.print_pools()
