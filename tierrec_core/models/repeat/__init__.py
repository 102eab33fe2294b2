"""Former name of kind tifu_knn: until 0.3, dvc.yaml needs the folder of a kind to exist."""
