"""The profile of a published benchmark, the same faults for every server: where does each delivery end?"""
