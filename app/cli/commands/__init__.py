"""What the commands of `kdlab` do, one file each; `app.cli` holds their words."""
