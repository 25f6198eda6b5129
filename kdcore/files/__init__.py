"""Files that people bring: uploads, images, and numbers that are not what they are called."""
