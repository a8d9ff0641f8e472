"""The fault campaign: plans applied to whole fleets in memory while things break, again and again until it settles."""
