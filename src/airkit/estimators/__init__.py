"""Estimators of the evidence lower bound. ``ESTIMATORS`` names them as ``train.estimator`` does."""

from airkit.estimators import exact

ESTIMATORS = {"exact": exact.elbo}
