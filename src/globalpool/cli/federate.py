"""``globalpool federate``: a simulation on this machine, or the one file a deployment needs."""

import json
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from globalpool.cli.federate_options import FederateOptions
from globalpool.errors import FederatedError, GlobalPoolError
from globalpool.federated.settings import FederationSettings
from globalpool.training.files import write_whole

PYPROJECT = "pyproject.toml"


def run(options: FederateOptions) -> int:
    """Simulate, or write the pyproject."""
    if options.action == "init":
        return _init(options)
    if options.out is None:
        raise GlobalPoolError("globalpool federate simulate", "--out DIR", "none", "It may be a federation's to go on.")
    out = Path(options.out)
    settings = FederationSettings() if options.target is None else read_config(Path(options.target))
    if options.rounds is not None:
        settings = replace(settings, rounds=options.rounds)
    # Flower keeps a database and keys here; nothing is written elsewhere.
    os.environ["FLWR_HOME"] = str((out / ".flwr").resolve())
    from globalpool.federated.flower import simulate

    simulate(replace(settings, out=str(out)), options.cores)
    print(f"rounds: {out / 'rounds.csv'}")
    return 0


def read_config(path: Path) -> FederationSettings:
    """The settings in a pyproject that ``init`` wrote."""
    try:
        config: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["flwr"]["app"]["config"]
    except (KeyError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        hint = "Write one by globalpool federate init DIR."
        raise FederatedError(str(path), "a pyproject.toml with [tool.flwr.app.config]", got, hint) from error
    return FederationSettings.read(config)


def _init(options: FederateOptions) -> int:
    if options.target is None:
        raise GlobalPoolError("globalpool federate init", "the folder to write to", "none")
    folder = Path(options.target)
    if (folder / PYPROJECT).exists():
        raise GlobalPoolError(
            str(folder), f"a folder without {PYPROJECT}", "one that has it", "Edit it, or choose another."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / PYPROJECT, pyproject(FederationSettings()).encode())
    print(f"wrote {folder / PYPROJECT}")
    print(f"next: globalpool federate simulate {folder / PYPROJECT} --out DIR, or flwr run {folder}")
    return 0


def pyproject(settings: FederationSettings) -> str:
    """All that ``flwr run``, SuperLink and SuperNodes need; the code is this package's."""
    lines = [
        "[project]",
        'name = "globalpool-federation"',
        'version = "1.0.0"',
        'license = "Apache-2.0"',
        "dependencies = []",
        "",
        "[tool.flwr.app]",
        'publisher = "globalpool"',
        "",
        "[tool.flwr.app.components]",
        'serverapp = "globalpool.federated.apps:server"',
        'clientapp = "globalpool.federated.apps:client"',
        "",
        "# A deployed node says where its pictures are and how large:",
        "#   flower-supernode --node-config 'data=\"/data/site-a\" resolution=512'",
        "[tool.flwr.app.config]",
    ]
    # JSON's strings, numbers and booleans are TOML's.
    lines += [f"{name} = {json.dumps(value)}" for name, value in settings.run_config().items()]
    return "\n".join(lines) + "\n"
