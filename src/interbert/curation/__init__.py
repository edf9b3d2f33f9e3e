"""From a raw crawl of images and titles to a clean, split, documented data set."""
