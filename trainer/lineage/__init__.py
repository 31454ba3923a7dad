"""The systems that this project descends from, beside ours."""
