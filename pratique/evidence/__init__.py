"""Evidence about an image: from Defender, attestations and scanners."""
