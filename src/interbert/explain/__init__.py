"""Why a text and an image match: relevance of words and regions, and the score without them."""

from interbert.explain.explanation import ExplainedRegion, ExplainedWord, Explanation, explain, occlusion
from interbert.explain.images import ImageTokens

__all__ = ["ExplainedRegion", "ExplainedWord", "Explanation", "ImageTokens", "explain", "occlusion"]
