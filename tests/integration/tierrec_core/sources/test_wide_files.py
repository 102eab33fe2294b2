"""A file of many columns is previewed in memory that grows with its cells, not with the square of its columns."""

import subprocess
import sys

import numpy as np
import pytest

from tests.support.projects import ROOT

NUM_ROWS, NUM_COLUMNS = 2_000, 300
MAX_MIB = 1024  # with 150 of imports; the file has 6
PREVIEW = """
import re, sys
from pathlib import Path
from tierrec_core.sources.schema_inference.preview import FilePreview

preview = FilePreview.at(Path(sys.argv[1]), {})
preview.time_formats
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(len(preview.columns), preview.num_rows, int(peak) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_wide_file_is_previewed_in_little_memory(tmp_path):
    cells = np.random.default_rng(3).integers(10**9, 10**10, (NUM_ROWS, NUM_COLUMNS))  # any may be a time
    header = ",".join(f"column_{n}" for n in range(NUM_COLUMNS))
    np.savetxt(tmp_path / "wide.csv", cells, "%d", ",", header=header, comments="")
    command = [sys.executable, "-c", PREVIEW, tmp_path / "wide.csv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    num_columns, num_rows, peak = map(int, done.stdout.split())
    assert (num_columns, num_rows) == (NUM_COLUMNS, NUM_ROWS)
    assert peak < MAX_MIB
