"""What people and tests ask of the sandbox itself, on a host outside Azure's own address space."""

HOST = "sandbox.localhost"
