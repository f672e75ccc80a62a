"""Tests: `unit` mirrors `services`, `integration` runs it all, `repo` checks the repository against itself."""
