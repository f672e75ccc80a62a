# The images of a release. `docker buildx bake` builds them for this machine, under the names that
# deploy/compose.release.yml starts; `docker buildx bake release --push` builds them for both architectures, and pushes
# them with provenance and a bill of materials to STREAMGAUGE_IMAGES.

variable "VERSION" {
  default = "0.2.0"
}

# What precedes the names: registry and folder, such as ghcr.io/owner/. The default is no registry.
variable "STREAMGAUGE_IMAGES" {
  default = "localhost/"
}

variable "REVISION" {
  default = "unknown"
}

# Where the source code is; a registry shows it beside the image.
variable "SOURCE_URL" {
  default = ""
}

variable "PYTHON_IMAGE" {
  default = "python:3.13-slim"
}

group "default" {
  targets = ["server", "client", "collector"]
}

group "release" {
  targets = ["server-release", "server-nats-release", "client-release", "collector-release"]
}

target "image" {
  args = {
    PYTHON_IMAGE = PYTHON_IMAGE
    REVISION     = REVISION
  }
  labels = {
    "org.opencontainers.image.version" = VERSION
    "org.opencontainers.image.source"  = SOURCE_URL
  }
}

target "server" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.server"
  tags       = ["${STREAMGAUGE_IMAGES}streamgauge-server:${VERSION}"]
}

# With what LEDGER and SOURCE at NATS need besides.
target "server-nats" {
  inherits = ["server"]
  args     = { SERVER_DEPS = "server-nats-deps" }
  tags     = ["${STREAMGAUGE_IMAGES}streamgauge-server:${VERSION}-nats"]
}

target "client" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.client"
  target     = "client"
  tags       = ["${STREAMGAUGE_IMAGES}streamgauge-client:${VERSION}"]
}

target "collector" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.client"
  target     = "collector"
  tags       = ["${STREAMGAUGE_IMAGES}streamgauge-collector:${VERSION}"]
}

# No image has code of its own for an architecture: the base image and the wheels in requirements/ exist for both.
target "published" {
  platforms = ["linux/amd64", "linux/arm64"]
  attest    = ["type=provenance,mode=max", "type=sbom"]
}

target "server-release" {
  inherits = ["server", "published"]
}

target "server-nats-release" {
  inherits = ["server-nats", "published"]
}

target "client-release" {
  inherits = ["client", "published"]
}

target "collector-release" {
  inherits = ["collector", "published"]
}
