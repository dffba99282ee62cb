"""Files to batches."""

from globalpool.extras import need

need("PIL.Image", "images", "globalpool.data")

from globalpool.data.augment import Augmentation  # noqa: E402
from globalpool.data.batch import Batch  # noqa: E402
from globalpool.data.batches import Batches, evaluation_batches, training_batches  # noqa: E402
from globalpool.data.box_tables import BoxedPicture, read_boxes_table  # noqa: E402
from globalpool.data.buckets import Buckets, Fixed, Native, SizePolicy  # noqa: E402
from globalpool.data.canvas_batches import CanvasBatches, Warp  # noqa: E402
from globalpool.data.canvas_digits import CanvasDigits, canvas_digits  # noqa: E402
from globalpool.data.check import check_data  # noqa: E402
from globalpool.data.examples import Example, Examples  # noqa: E402
from globalpool.data.findings import DataCheck, Finding  # noqa: E402
from globalpool.data.folders import read_folder  # noqa: E402
from globalpool.data.images import Picture, find_pictures, read_picture  # noqa: E402
from globalpool.data.mnist import mnist_digits  # noqa: E402
from globalpool.data.photographs import photographs  # noqa: E402
from globalpool.data.prepare import prepare  # noqa: E402
from globalpool.data.sampling import InOrder, Rank, SizeBuckets  # noqa: E402
from globalpool.data.sources import ArraySource, FileSource, Source  # noqa: E402
from globalpool.data.split_files import read_split, write_split  # noqa: E402
from globalpool.data.splits import RULE, Split, apart, held_out, split_examples  # noqa: E402
from globalpool.data.tables import read_examples, read_table  # noqa: E402

__all__ = [
    "RULE",
    "ArraySource",
    "Augmentation",
    "Batch",
    "Batches",
    "BoxedPicture",
    "Buckets",
    "CanvasBatches",
    "CanvasDigits",
    "DataCheck",
    "Example",
    "Examples",
    "FileSource",
    "Finding",
    "Fixed",
    "InOrder",
    "Native",
    "Picture",
    "Rank",
    "SizeBuckets",
    "SizePolicy",
    "Source",
    "Split",
    "Warp",
    "apart",
    "canvas_digits",
    "check_data",
    "evaluation_batches",
    "find_pictures",
    "held_out",
    "mnist_digits",
    "photographs",
    "prepare",
    "read_boxes_table",
    "read_examples",
    "read_folder",
    "read_picture",
    "read_split",
    "read_table",
    "split_examples",
    "training_batches",
    "write_split",
]
