"""What others say about an image: Defender, attestations, scanners."""
