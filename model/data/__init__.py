"""Data sets in their published file formats, as numpy arrays; no torch, no download, no trusted pickles."""

from model.data.cifar import load_cifar
from model.data.imagenet import ImageFolder
from model.data.images import ImageArrays, ImageSet
from model.data.order import shuffled
from model.data.pictures import PictureSet, load_div2k, load_photographs, load_urban100
from model.data.source import DataError
from model.data.svhn import load_svhn
from model.data.text import TokenSet, load_penn_treebank, load_python_text, load_wikitext103

__all__ = [
    "DataError",
    "ImageArrays",
    "ImageFolder",
    "ImageSet",
    "PictureSet",
    "TokenSet",
    "load_cifar",
    "load_div2k",
    "load_penn_treebank",
    "load_photographs",
    "load_python_text",
    "load_svhn",
    "load_urban100",
    "load_wikitext103",
    "shuffled",
]
