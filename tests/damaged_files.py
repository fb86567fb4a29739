"""Files that are damaged, lie about their size, or unpack to more than they should."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
import scipy.io
from PIL import Image

from uae.errors import InputError

SMALL = 2**22  # the limit in these tests, so that a bomb is made quickly
X = np.random.default_rng(0).random((4, 1, 5, 5), "float32")


def npy(array=X, **change):
    """A .npy file with another header than its array's: shape, descr or fortran_order."""
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array) | change
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + array.tobytes()


def npy_text(header, version=b"\1\0"):
    text = header.encode()
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(text)) + text


def npz(contents, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def patched(content, what, offset, value):
    """An archive of one file with a field of its local and central headers changed."""
    out = bytearray(content)
    for signature, start in [(b"PK\3\4", 0), (b"PK\1\2", 2)]:
        where = out.index(signature) + start + offset
        out[where : where + len(value)] = value
    return bytes(out)


def encrypted(content):
    return patched(content, "flag", 6, b"\1\0")


def method(content, number):
    return patched(content, "method", 8, struct.pack("<H", number))


def size(content, number):
    return patched(content, "size", 22, struct.pack("<I", number))


def safetensor(header, data=b""):
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE)


def tar(members, mode="w:gz"):
    """members: the content of a file by its name, or a type of those that are none."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content[:1] not in TYPES:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content, "/etc/passwd"
                archive.addfile(info)
    return file.getvalue()


def tar_claiming(size):
    info = tarfile.TarInfo("data_batch_1.bin")
    info.size = size
    return gzip.compress(info.tobuf())


def pax_claiming(size):
    """An extended header of so many bytes: tarfile reads it at once."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, size
    return gzip.compress(info.tobuf() + b"\0" * SMALL * 2)


def idx(shape, data, code=8):
    return bytes([0, 0, code, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + data


def png(width, height, data=b""):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def image(kind, shape=(32, 32, 3)):
    file = io.BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(file, kind)
    return file.getvalue()


def link_in_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("coil-20-proc/obj1__0.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return file.getvalue()


def mat(**arrays):
    file = io.BytesIO()
    scipy.io.savemat(file, arrays, do_compression=True)
    return file.getvalue()


def refuses(call, name, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    text = str(caught.value)
    assert name in text and "\n" not in text and len(text) < 500, text
