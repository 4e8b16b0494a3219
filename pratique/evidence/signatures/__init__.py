"""Signatures of the Notary Project in JWS and COSE envelopes: verifies who signed an artifact."""
