"""Flower's messages around the plain functions: the one package that imports flwr, through ``packages`` alone."""

from globalpool.federated.flower.client import client_app
from globalpool.federated.flower.server import serve, server_app
from globalpool.federated.flower.simulation import simulate

__all__ = ["client_app", "serve", "server_app", "simulate"]
