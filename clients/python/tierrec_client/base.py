"""The base of all models that the client sends and receives."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen; validation errors do not show values, which may be personal data."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, hide_input_in_errors=True)
