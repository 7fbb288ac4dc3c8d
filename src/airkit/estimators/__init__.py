"""Estimators of the evidence lower bound."""
