"""Signatures of the Notary Project: who signed an artifact, in a JWS or a COSE envelope."""
