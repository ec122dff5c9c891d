"""What requests and answers look like on the wire, one module a subject. Limits are the domain's."""

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """What every answer in JSON has in common."""

    # Always all of these fields. A client should pass over others, which a later version may send.
    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)
