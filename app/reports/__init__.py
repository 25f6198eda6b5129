"""HTML that is shown or saved: the verdict, its figures, images."""
