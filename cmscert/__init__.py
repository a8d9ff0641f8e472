"""Plan and apply the certificates of Cisco Meeting Server fleets."""

__version__ = "0.1.0"
