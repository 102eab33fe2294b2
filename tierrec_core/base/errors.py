"""Exceptions of the project.

    TierRecError                  an error that the user can fix; commands exit with code 2
    |-- SettingsError             invalid params.yaml: a key, a value, a kind
    |-- DataError                 unusable input data: a file, a column, a row
    |   |-- UnreadableFileError   missing, empty, corrupt
    |   |-- MissingColumnError    a required column is missing
    |   `-- EmptyDataError        no data left after filtering
    |-- GateError                 a quality gate failed (FAIL)
    |   `-- GateCrash             a check of the gate raised (ERROR)
    |-- ArtifactError             an artefact is missing, damaged or of another type
    `-- StageError                a stage's process failed

A message says where, what was found, what was expected and what to do, in one to three lines.
"""


class TierRecError(Exception):
    """An error that the user of tierrec can fix."""


class SettingsError(TierRecError):
    """params.yaml has an unknown key, a value out of range or an unknown kind."""


class DataError(TierRecError):
    """The input data cannot be used."""


class UnreadableFileError(DataError):
    """A file is missing, empty or corrupt."""


class MissingColumnError(DataError):
    """A frame lacks a column that its contract requires."""


class EmptyDataError(DataError):
    """No user, item or event is left to work on."""


class GateError(TierRecError):
    """A quality gate failed."""


class GateCrash(GateError):  # noqa: N818 - distinguishes a crashed gate from a failed one
    """A quality gate could not be evaluated, because one of its checks raised."""


class ArtifactError(TierRecError):
    """An artefact is missing, damaged or of another type."""


class StageError(TierRecError):
    """A stage's process failed."""
