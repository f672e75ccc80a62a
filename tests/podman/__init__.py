"""The one compose file under Podman, without root where `.ci/podman` has made an account: `make podman`."""
