# The doors to the project. `make help` lists them.
.PHONY: help
help:
	@echo "run test test-deep check bench dist desktop screenshots"
