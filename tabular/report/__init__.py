"""What a person looks at: assessments, plots, pages."""
