"""How fast the service is, as ratios to what its parts allow and to the ordinary way of writing it."""
