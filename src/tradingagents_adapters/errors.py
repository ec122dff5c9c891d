"""Errors for operators."""


class ConfigurationError(Exception):
    """The service cannot run with its configuration. The message is one line for the operator."""
