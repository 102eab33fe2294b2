"""Benchmark of models on public data sets, tuned on a validation part and evaluated once on the test part.

A new data set is a module with a class that implements `task.Dataset`, a line in `datasets.public.DATASETS` and, as an
option, `attempts/NAME.md`, which is appended to its section of the page. An `Entry` of a registered kind needs only
options; any other model, such as a peer of another library, needs a `build` function.
"""
