"""Held-out claims about training: five paired seeds, controls, intervals, thresholds written before looking."""
