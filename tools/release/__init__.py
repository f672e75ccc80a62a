"""What a release consists of besides its images: the compose files that need no checkout, and its notes."""
