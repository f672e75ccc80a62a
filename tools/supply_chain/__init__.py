"""Bills of materials of the images, and checks of all pins: ``make sbom``, ``make audit``."""
