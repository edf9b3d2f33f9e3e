"""Names of the vision-and-language tasks. Nothing is imported, so that the command line's overview is quick."""

TITLES = {
    "vcr": "VCR",
    "vqa": "VQA v2",
    "gqa": "GQA",
    "nlvr": "NLVR",
    "nlvr2": "NLVR2",
    "snli-ve": "SNLI-VE",
    "refcoco": "RefCOCO, RefCOCO+ and RefCOCOg",
    "flickr-entities": "Flickr30K Entities",
}
"""Names, as the command line has them -> as people write them."""
VL_TASKS = tuple(TITLES)
