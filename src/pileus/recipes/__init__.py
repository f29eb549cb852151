"""Full specs to start from, one TOML file each."""
