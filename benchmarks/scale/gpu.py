"""Training throughput of the deep models on the available device, on a seeded synthetic shop.

python -m benchmarks.scale.gpu [--users 4000] [--json FILE]

A sample is one event of the log in one epoch; sasrec truncates long histories, so its figure is an upper bound.
symmetric_mf, two_tower, sasrec and multitask train in torch: on CUDA in bfloat16 where it is safe, on a CPU in float32.
cold_start is solved in closed form by NumPy, always on the CPU.
"""

import argparse
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from tierrec_core.base import artifacts
from tierrec_core.data.interactions import Interactions
from tierrec_core.models import registry
from tierrec_core.neural.trainer import best_device
from tierrec_core.protocols.model import Training
from tierrec_core.settings import SyntheticSource, TierSettings
from tierrec_core.sources import synthetic
from tierrec_core.tiers import Tiering

KINDS = ("symmetric_mf", "two_tower", "sasrec", "multitask", "cold_start")
SEED, NUM_ITEMS, DAYS = 7, 1_000, 180
_WARM_UP_USERS = 60


@dataclass(frozen=True)
class Speed:
    """One model's training. seconds: of the whole fit"""

    model: str
    device: str
    dtype: str
    events: int
    epochs: int
    seconds: float
    samples_per_second: float


def world(num_users: int) -> Training:
    """Training data of a synthetic shop."""
    source = SyntheticSource(num_users=num_users, num_items=NUM_ITEMS, days=DAYS)
    log = synthetic.make_synthetic_world(source, SEED).log
    history = Interactions.from_events(log.events, items=pd.Index(log.items["item_id"], dtype=object))
    tiering = Tiering.fit(history, log.items, TierSettings(), SEED)
    return Training(history, log.items, tiering, ("purchase",), SEED)


def measure(name: str, training: Training) -> Speed:
    """Fit a model with default settings in one thread, as the stage `train` does."""
    kind, config = registry.configure(name, {"kind": name})
    epochs = int(getattr(config, "epochs", getattr(config, "iterations", 1)))
    device, dtype = _place(name)
    began = time.perf_counter()
    with threadpool_limits(1):
        kind.fit(training, config)
    if device != "cpu":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    events = len(training.history)
    return Speed(name, device, dtype, events, epochs, round(seconds, 3), round(events * epochs / seconds, 1))


def _place(name: str) -> tuple[str, str]:
    device = best_device()
    if name == "cold_start":
        return "cpu", "float64"
    if device.type == "cuda":
        return torch.cuda.get_device_name(device), "bfloat16"
    return device.type, "float32"


def machine() -> Mapping[str, Any]:
    """Machine and library versions."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {"machine": platform.machine(), "torch": torch.__version__, "gpu": gpu, "seed": SEED}


def main(arguments: Sequence[str]) -> None:
    """Measure all models, print a line each, and optionally write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=4_000)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    small, training = world(_WARM_UP_USERS), world(options.users)
    print(f"{options.users} users, {NUM_ITEMS} items, {len(training.history)} events, {dict(machine())}")
    speeds = []
    for name in KINDS:
        measure(name, small)  # the first fit on a device loads its kernels
        speed = measure(name, training)
        speeds.append(speed)
        print(
            f"{name:10} {speed.samples_per_second:12,.0f} samples/s  {speed.seconds:6.1f} s  "
            f"{speed.epochs} epochs  {speed.device} {speed.dtype}",
            flush=True,
        )
    if options.json:
        figures = machine() | {"users": options.users, "models": {speed.model: asdict(speed) for speed in speeds}}
        artifacts.write_json(figures, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
