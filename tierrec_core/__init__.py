"""The pure core: frames in, frames and arrays out. It knows no orchestrator, no server and no dashboard."""
