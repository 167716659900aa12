"""What comes out: tables, annotations, figures of merit and pictures."""
