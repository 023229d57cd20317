"""Ray clusters: their addresses, their nodes, and jobs that are sent to them."""
