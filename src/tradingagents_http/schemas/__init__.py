"""The schemas of requests and responses, one module a subject. Limits come from the domain."""

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """The common base of all JSON responses."""

    # A response always has all of its fields. Clients should ignore other fields, which a later version may add.
    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)
