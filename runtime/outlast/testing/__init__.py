"""What users test their functions with."""
