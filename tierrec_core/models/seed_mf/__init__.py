"""Former name of kind symmetric_mf: until 0.3, dvc.yaml needs the folder of a kind to exist."""
