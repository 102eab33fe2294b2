"""The benchmark of models: every kind on public data sets, tuned on a validation part and judged once on the test.

A new data set is one module whose class fulfils `task.Dataset` (`rounds` reads it and says what is learned from, who
is ranked for, what they took and what is hidden from their lists), one line in `datasets.DATASETS` and, where there
is something to tell, `attempts/NAME.md`, which is put below its tables. An `Entry` of a registered kind needs only its
options; one that is not registered, such as a peer of another library or a rule, brings a `build`.
"""
