"""The stages of the pipeline, one thin module each: read, call, write."""
