"""Image sets for others: ``exporting.export`` makes shuffled Parquet, WebDataset or image folders; ``upload.push`` sends them."""
