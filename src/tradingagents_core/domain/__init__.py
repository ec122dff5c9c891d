"""What the service is about: frozen objects that are valid from birth."""
