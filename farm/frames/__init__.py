"""What a frame is, and how Pixel Data becomes frames and frames become Pixel Data."""
