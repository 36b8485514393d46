"""Connections to the cluster: addresses, login, requests and answers, and the bytes that they took."""
