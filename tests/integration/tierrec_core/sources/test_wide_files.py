"""A file of many columns is previewed in memory that grows with its cells, not with the square of its columns."""

import subprocess
import sys

import numpy as np

from tests.support.projects import ROOT

NUM_ROWS, NUM_COLUMNS = 2_000, 300
MAX_GROWTH = 400  # MiB; the text has 2.4
PREVIEW = """
import resource, sys
from pathlib import Path
from tierrec_core.sources.schema_inference.preview import FilePreview

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = peak()
preview = FilePreview.at(Path(sys.argv[1]), {})
print(len(preview.columns), preview.num_rows, len(preview.time_formats), peak() - before)
"""


def test_a_wide_file_is_previewed_in_little_memory(tmp_path):
    cells = np.random.default_rng(3).integers(0, 1000, (NUM_ROWS, NUM_COLUMNS))
    header = ",".join(f"column_{n}" for n in range(NUM_COLUMNS))
    np.savetxt(tmp_path / "wide.csv", cells, "%d", ",", header=header, comments="")
    command = [sys.executable, "-c", PREVIEW, tmp_path / "wide.csv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    num_columns, num_rows, num_times, growth = map(float, done.stdout.split())
    assert (num_columns, num_rows, num_times) == (NUM_COLUMNS, NUM_ROWS, 0)
    assert growth < MAX_GROWTH
