"""What can go wrong between the service and its feedback store."""

from tierrec_core.base.errors import TierRecError


class StoreError(TierRecError):
    """The feedback store cannot be reached, is full or is locked; what was not acknowledged can be posted again."""
