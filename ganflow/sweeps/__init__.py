"""Sweeps as their folders have them: records of trials, the study, the report and what is shown. Nothing here needs Ray."""
