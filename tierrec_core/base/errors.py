"""What can go wrong, as a tree.

    TierRecError                  everything that a user can mend; commands end with exit code 2
    |-- SettingsError             params.yaml: a key, a value, a kind
    |-- DataError                 what came in: a file, a column, a row
    |   |-- UnreadableFileError   missing, empty, corrupt
    |   |-- MissingColumnError    a frame lacks a column of its contract
    |   `-- EmptyDataError        nothing is left to work on
    |-- GateError                 a gate looked at the data or the model and refused
    |   `-- GateCrash             a gate could not look: an expectation raised (ERROR, which is not FAIL)
    |-- ArtifactError             something that an earlier stage wrote is missing, damaged or foreign
    `-- StageError                a stage's process ended badly

A message says where, what was found, what was wanted and what to do, in one to three lines.
"""


class TierRecError(Exception):
    """Something that the person who runs tierrec can mend."""


class SettingsError(TierRecError):
    """params.yaml holds an unknown key, a value out of range or an unknown kind."""


class DataError(TierRecError):
    """The data that came in cannot be used."""


class UnreadableFileError(DataError):
    """A file is missing, empty or corrupt."""


class MissingColumnError(DataError):
    """A frame lacks a column that its contract wants."""


class EmptyDataError(DataError):
    """No user, item or event is left to work on."""


class GateError(TierRecError):
    """A gate looked and refused."""


class GateCrash(GateError):  # noqa: N818 - a crash of the gate is told apart from its refusal
    """A gate could not look, because one of its checks raised."""


class ArtifactError(TierRecError):
    """An artefact is missing, damaged or was written by something else."""


class StageError(TierRecError):
    """A stage's process ended badly."""
