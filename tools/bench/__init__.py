"""How fast the relay is, beside the same job done otherwise: ``make bench``."""
