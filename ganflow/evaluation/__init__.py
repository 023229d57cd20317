"""Evaluation: scores by protocol, with their errors and floors."""
