"""Face recognisers of others as embeddings, for whoever has to tell people apart: ``anonbench.embedders``."""

from metrics.embedders.faces import DescribesFaces, by_dlib, by_network

__all__ = ["DescribesFaces", "arcface", "deepid", "dlib", "facenet", "facenet512", "ghostfacenet", "mobilefacenet"]
__all__ += ["openface", "sface", "vggface"]
__apart__ = True

mobilefacenet = by_network("mobilefacenet")
arcface, facenet, facenet512, sface, vggface, ghostfacenet, openface, deepid = (
    by_network(name)
    for name in ("ArcFace", "Facenet", "Facenet512", "SFace", "VGG-Face", "GhostFaceNet", "OpenFace", "DeepID")
)
dlib = by_dlib()
