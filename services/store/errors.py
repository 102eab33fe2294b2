"""The error of the feedback store."""

from tierrec_core.base.errors import TierRecError


class StoreError(TierRecError):
    """The feedback store is unreachable, full or locked; what was not acknowledged can be posted again."""
