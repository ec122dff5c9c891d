"""What the person who runs the service is told by adapters."""


class ConfigurationError(Exception):
    """The service cannot run as it is configured; the text is one line for the person who starts it."""
