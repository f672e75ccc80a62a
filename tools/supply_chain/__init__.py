"""What the images contain, as bills of materials, and checks of how it is pinned: ``make sbom``, ``make audit``."""
