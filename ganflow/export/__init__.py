"""Models that leave: a run's generator as programs, weights, an MLflow model or a repository, each with a model card."""
