# SPDX-License-Identifier: Apache-2.0
"""The reference model of docs/semantics.md, "Keys and names", written apart from the C++: a set of keys -> the tree that a mount must show.
Bytes throughout."""

RESERVED = b'@leat-'


def escape(component):
    return component.replace(b'%', b'%25').replace(b'\0', b'%00')


def encode_component(component):
    """One component of a key -> one or more path components."""
    if component == b'':
        return [b'@leat-empty']
    if component == b'.':
        return [b'@leat-dot']
    if component == b'..':
        return [b'@leat-dotdot']
    if len(component) <= 255 and b'\0' not in component and not component.startswith(RESERVED):
        return [component]
    encoded = b'@leat-enc-' + escape(component)
    if len(component) <= 255 and len(encoded) <= 255:
        return [encoded]
    return None  # chunked: the cut points are the implementation's; checked by joining the names again


def decode_path(path):
    """A path below the mountpoint -> the key it stands for (the inverse; chunks joined)."""
    components, chunk = [], b''
    for name in path.split(b'/'):
        if name.startswith(b'@leat-part-'):
            chunk += name[len(b'@leat-part-'):]
        elif name.startswith(b'@leat-last-'):
            components.append(unescape(chunk + name[len(b'@leat-last-'):]))
            chunk = b''
        elif name == b'@leat-object':
            return b'/'.join(components)
        elif name == b'@leat-body':
            return b'/'.join(components) + b'/'
        elif name == b'@leat-empty':
            components.append(b'')
        elif name == b'@leat-dot':
            components.append(b'.')
        elif name == b'@leat-dotdot':
            components.append(b'..')
        elif name.startswith(b'@leat-enc-'):
            components.append(unescape(name[len(b'@leat-enc-'):]))
        else:
            components.append(name)
    return b'/'.join(components)


def unescape(text):
    return text.replace(b'%00', b'\0').replace(b'%25', b'%')


def tree_of(objects):
    """{key: body} -> (files {path: body}, directories {path}); keys that need chunking are left out of files and given apart."""
    directories, files, chunked = set(), {}, {}
    encoded = {}
    for key in objects:
        marker = key.endswith(b'/')
        parts = (key[:-1] if marker else key).split(b'/')
        mapped = []
        for part in parts:
            names = encode_component(part)
            if names is None:
                mapped = None
                break
            mapped += names
        if mapped is None:
            chunked[key] = objects[key]
            continue
        encoded[key] = (mapped, marker)
        for depth in range(1, len(mapped) + (1 if marker else 0)):
            directories.add(b'/'.join(mapped[:depth]))
    # The parents of chunked keys are directories too, as far as they are plain.
    for key in chunked:
        mapped = []
        for part in key.split(b'/'):
            names = encode_component(part)
            if names is None:
                break
            mapped += names
            directories.add(b'/'.join(mapped))
    for key, (mapped, marker) in encoded.items():
        path = b'/'.join(mapped)
        if marker:
            if objects[key]:
                files[path + b'/@leat-body'] = objects[key]
        elif path in directories:
            files[path + b'/@leat-object'] = objects[key]
        else:
            files[path] = objects[key]
    return files, directories, chunked
