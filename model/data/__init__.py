"""Data sets in their published file formats, as numpy arrays; no torch, no download, no trusted pickles."""

from cpt.model.data.arxiv import load_arxiv
from cpt.model.data.cifar import load_cifar
from cpt.model.data.folders import load_class_folders
from cpt.model.data.graph import Graph, load_communities
from cpt.model.data.imagenet import ImageFolder
from cpt.model.data.images import ImageArrays, ImageSet
from cpt.model.data.order import shuffled
from cpt.model.data.pictures import PictureSet, load_div2k, load_photographs, load_urban100
from cpt.model.data.source import DataError
from cpt.model.data.svhn import load_svhn
from cpt.model.data.text import TokenSet, load_penn_treebank, load_python_text, load_wikitext103

__all__ = [
    "DataError",
    "Graph",
    "ImageArrays",
    "ImageFolder",
    "ImageSet",
    "PictureSet",
    "TokenSet",
    "load_arxiv",
    "load_cifar",
    "load_class_folders",
    "load_communities",
    "load_div2k",
    "load_penn_treebank",
    "load_photographs",
    "load_python_text",
    "load_svhn",
    "load_urban100",
    "load_wikitext103",
    "shuffled",
]
