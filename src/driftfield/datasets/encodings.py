"""Encodings: the bytes of a text file as UTF-8, whatever they were; gzip is unpacked."""

import codecs
import re
import zlib

from driftfield.errors import InputError, listed

MOST_TIMES_ITS_SIZE, AT_LEAST = 100, 1 << 26  # bytes that a gzip file may unpack to; tables of text take 3 to 30 times
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "an NPY file",
    b"SQLite format 3\0": "an SQLite database",
    b"%PDF": "a PDF",
}
_OTHERS = ("cp1251", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp")  # named in the advice, never assumed
_OF_SEVERAL_BYTES = _OTHERS[1:]
CLEARLY = 3  # characters of UTF-8 for each byte that is none, from which other encodings are out of the question
_SINGLE = re.compile(rb"[\x80\x85\x91-\x97\xa0-\xff]{1,2}")  # letters and signs of Latin-1 and Windows-1252
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")
# What western European text does not hold: two letters beyond ASCII that are the whole of a word, two signs, a closing
# quote or a dash at the start of a word, and signs within one.
_LETTERS = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff"
_IMPROBABLE = re.compile(
    rf"(?<![{_LETTERS}\d])([^\x00-\xa0\u2013-\u2026«»])(?!\1)[^\x00-\xa0\u2013-\u2026«»](?![{_LETTERS}\d])"
    r"|([¡-¯´¶¸-º¼-¿])(?!\2)[¡-¯´¶¸-º¼-¿]"
    rf"|(?:\A|(?<=[\s,;|\"']))[’”•–—…¹²³][{_LETTERS}±]"
    rf"|(?<=[{_LETTERS}])[¡¢£¤¥¦§¨©¬¯¶¸»¼½¾¿“€•](?=[{_LETTERS}])"
)
MOST_IMPROBABLE = 0.1  # of the places beyond ASCII
SAMPLE = 1 << 16


def utf8(content: bytes, name: str, encoding: str | None = None) -> tuple[bytes, str]:
    """(text in UTF-8 without a byte-order mark, name of its encoding) of the bytes of a file.

    Without an ``encoding``, a byte-order mark decides, then UTF-8, then zero bytes for UTF-16; Latin-1 or Windows-1252
    are taken where at most two bytes beyond ASCII stand together, and in places as in words of western European
    languages.

    Raises:
        InputError: the encoding is unknown or not clear; the bytes are not text, or an archive.
    """
    if content[:2] == b"\x1f\x8b":
        content = _unpacked(content, name)
    for magic, kind in _ARCHIVES.items():
        if content.startswith(magic):
            raise InputError(f"{name} is {kind}, not text: export it as CSV.")
    mark = next((mark for mark in _BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    chosen = encoding or _BYTE_ORDER_MARKS.get(mark) or _find(content, name)
    if mark and standard_name(chosen, name) in ("utf-8", "utf-16", "utf-32", *_BYTE_ORDER_MARKS.values()):
        content = content[len(mark) :]
        if chosen in ("utf-16", "utf-32"):
            chosen = _BYTE_ORDER_MARKS[mark]
    if standard_name(chosen, name) == "utf-8" and _is_utf8(content):
        text = content
    else:
        try:
            text = content.decode(chosen).encode()
        except UnicodeError as error:
            raise InputError(f"{name} is not text in {chosen} ({error.args[-1]}): name its encoding.") from None
    while text.startswith(codecs.BOM_UTF8):  # a second one
        text = text.removeprefix(codecs.BOM_UTF8)
    if b"\0" in text:
        raise InputError(f"{name} holds zero bytes, so it is not text: export it as CSV in UTF-8.")
    return text, standard_name(chosen, name)


def standard_name(encoding: str, name: str) -> str:
    """The standard name of an encoding of text."""
    try:
        found = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError):
        raise InputError(f'Unknown encoding "{encoding}" for {name}: choose one such as utf-8 or cp1252.') from None
    return found.name


def _find(content: bytes, name: str) -> str:
    if b"\0" in content[:SAMPLE]:
        return _sixteen_bits(content[:SAMPLE], name)
    if _is_utf8(content):
        return "utf-8"
    _check_not_damaged(content, name)
    places = _BEYOND_ASCII.findall(content)
    runs = set(places)
    if all(_SINGLE.fullmatch(run) for run in runs):
        improbable = sum(1 for _ in _IMPROBABLE.finditer(content.decode("cp1252", "replace")))
        if improbable <= MOST_IMPROBABLE * len(places):
            return "cp1252" if any(byte < 0xA0 for run in runs for byte in run) else "latin-1"
    western = ("cp1252",) * (max(map(len, runs)) <= 2)
    others = [other for other in (*western, *_OTHERS) if _decodes(content, other)][:3]
    named = f"name it, as in --encoding {listed(others)}" if others else "export it in UTF-8"
    raise InputError(f"{name} is not in UTF-8, and its encoding is not clear: {named}.")


def _check_not_damaged(content: bytes, name: str) -> None:
    """Raises InputError for UTF-8 with some bytes that are not: of no other encoding are so many bytes valid UTF-8."""
    text = content.decode("utf-8", "surrogateescape")
    characters = sum(len(run) for run in re.findall(r"[^\x00-\x7f\udc80-\udcff]+", text))
    places = [match.start() for match in re.finditer(r"[\udc80-\udcff]", text)]
    bad = len(places)
    fits = any(_decodes(content, other) for other in _OF_SEVERAL_BYTES)
    if characters >= (CLEARLY if fits else 1) * bad:
        line = text.count("\n", 0, places[0]) + 1
        raise InputError(
            f"{name} is in UTF-8, but for {bad} byte{'s' * (bad > 1)}, the first in line {line}: correct that line, or "
            "name the encoding, as in --encoding cp1252."
        )


def _sixteen_bits(sample: bytes, name: str) -> str:
    """UTF-16 without a byte-order mark: most characters are ASCII, so every second byte is zero."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 0.4 * len(sample) // 2 and even < odd // 8:
        return "utf-16-le"
    if even > 0.4 * len(sample) // 2 and odd < even // 8:
        return "utf-16-be"
    raise InputError(f"{name} holds zero bytes, so it is not text: export it as CSV in UTF-8.")


def _is_utf8(content: bytes) -> bool:
    return content.isascii() or _decodes(content, "utf-8")


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeError:
        return False
    return True


def _unpacked(content: bytes, name: str) -> bytes:
    most = max(MOST_TIMES_ITS_SIZE * len(content), AT_LEAST)
    unpacker, parts, size = zlib.decompressobj(wbits=31), [], 0
    try:
        while content:
            part = unpacker.decompress(content, most + 1 - size)
            parts.append(part)
            size += len(part)
            if size > most:
                raise InputError(f"{name} unpacks to more than {most:,} bytes: unpack it first, if that is right.")
            if unpacker.eof:
                content = unpacker.unused_data.lstrip(b"\0")
                unpacker = zlib.decompressobj(wbits=31)
            else:
                content = unpacker.unconsumed_tail
                if not content:
                    raise EOFError
    except (zlib.error, EOFError):
        raise InputError(f"{name} is damaged: its gzip data cannot be unpacked, so compress it again.") from None
    return b"".join(parts)
