#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""seekdir.py DIRECTORY: telldir before each entry, then seekdir back to each place in reverse: the same name must come again."""
import ctypes
import sys

libc = ctypes.CDLL(None, use_errno=True)


class Dirent(ctypes.Structure):
    _fields_ = [('d_ino', ctypes.c_uint64), ('d_off', ctypes.c_int64), ('d_reclen', ctypes.c_ushort),
                ('d_type', ctypes.c_ubyte), ('d_name', ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.readdir.argtypes = libc.telldir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

stream = libc.opendir(sys.argv[1].encode())
assert stream, 'opendir'
places = []
while True:
    place = libc.telldir(stream)
    entry = libc.readdir(stream)
    if not entry:
        break
    places.append((place, entry.contents.d_name))
names = [name for _, name in places]
assert len(set(names)) == len(names), 'a name came twice'
for place, name in reversed(places):
    libc.seekdir(stream, place)
    assert libc.readdir(stream).contents.d_name == name, name
libc.closedir(stream)
print(len(names), 'entries')
