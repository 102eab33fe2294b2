"""The commands of the images in deploy/."""
