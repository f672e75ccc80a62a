"""Small servers of protocols whose real server no package registry has, written from the vendors' documentation."""
