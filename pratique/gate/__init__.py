"""The scan gate: policy, decision, waiting, approval. Pure."""
