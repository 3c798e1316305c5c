"""What the files declare: abra's servers, apps and recipes on disk, read only."""
