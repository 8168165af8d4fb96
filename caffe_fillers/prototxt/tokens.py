"""Splits prototxt into tokens as Caffe's C++ parser does, with the same values and errors.

Words are in bytes throughout. A file that mixes encodings still has places, and text in quotes keeps its bits.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["BAD", "END", "FLOAT", "IDENTIFIER", "INTEGER", "STRING", "TOKEN", "integer", "lexical_error", "unquoted"]

_ESCAPED = rb"""\\(?:[abfnrtv\\?'"0-7]|x[0-9A-Fa-f]|u[0-9A-Fa-f]{4}|U00[01][0-9A-Fa-f]{5})"""
TOKEN = re.compile(
    rb"""[ \t\n\v\f\r]*+(?:\#[^\n\0]*+[ \t\n\v\f\r]*+)*+
    (?:([A-Za-z_][A-Za-z0-9_]*+)
    |("[^"\\\n\0]*+(?:%b[^"\\\n\0]*+)*+" | '[^'\\\n\0]*+(?:%b[^'\\\n\0]*+)*+')
    |((?:0[xX][0-9A-Fa-f]++|0[0-7]*+|[1-9][0-9]*+)(?![0-9A-Za-z_.]))
    |((?:(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?+|(?<![A-Za-z0-9_])\.[0-9]++)(?:[eE][+-]?[0-9]++)?+(?:[fF]|(?![0-9]))(?![A-Za-z_.]))
    |([!$%%&()*+,\-/:;<=>?@\[\\\]^`{|}~\x7f]|\.(?![0-9]))
    |(\Z)
    |([\s\S]))"""
    % (_ESCAPED, _ESCAPED),
    re.VERBOSE,
)
IDENTIFIER, STRING, INTEGER, FLOAT, _, END, BAD = range(1, 8)

_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(?:u|U0000)([Dd][89ABab]..)\\u([Dd][C-Fc-f]..)|u(.{4})|U(.{8})|(.))"
)
_PLAIN_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def integer(text: bytes) -> int:
    if text[:1] == b"0":
        return int(text[2:], 16) if text[1:2] in (b"x", b"X") else int(text, 8)
    # Python refuses to convert thousands of decimal digits; no such number fits anyway
    return int(text[:100])


def unquoted(text: bytes) -> bytes:
    """Return the content of a token in quotes."""
    inside = text[1:-1]
    return _ESCAPE.sub(_unescape, inside) if b"\\" in inside else inside


def _unescape(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, head, trail, short, long, plain = match.groups()
    if plain is not None:
        return _PLAIN_ESCAPES.get(plain, plain)
    if octal or hexadecimal:
        return bytes([int(octal, 8) & 255 if octal else int(hexadecimal, 16)])
    point = int(short or long or head, 16)
    if head:
        point = 0x10000 + ((point - 0xD800) << 10 | (int(trail, 16) - 0xDC00))
    if point > 0x10FFFF:
        return b"\\U%08x" % point
    return chr(point).encode("utf-8", "surrogatepass")


def lexical_error(data: bytes, start: int) -> tuple[str, str, int]:
    """Return C++'s error for characters at `start` that make no token, our advice, and the place that it names."""
    first = data[start]
    if first in b"\"'":
        return _string_error(data, start)
    if first >= 128:
        return f"Interpreting non ascii codepoint {first}.", _not_ascii(data[start:]), start
    if first < 32:
        return "Invalid control characters encountered in text.", "remove them", start
    if first == ord(".") and re.compile(rb"\w").match(data, start - 1):
        return "Need space between identifier and decimal point.", "is text without its quotes meant?", start
    number = re.compile(rb"(0[xX])[0-9A-Fa-f]*|(0(?=[0-9])[0-7]*)|[0-9]*(?:\.[0-9]*)?(?:([eE][+-]?)[0-9]*)?[fF]?")
    match = number.match(data, start)
    assert match is not None
    end = match.end()
    after = data[end : end + 1]
    if match[1] and end == match.end(1):
        return '"0x" must be followed by hex digits.', "write 0x1F or a decimal number", end
    if match[2] and after.isdigit():
        return "Numbers starting with leading zero must be in octal.", "remove the leading zeros", end
    if match[3] and not data[match.end(3) : match.end(3) + 1].isdigit():
        return '"e" must be followed by exponent.', "write 1e5 or 1e-5", match.end(3)
    if after != b".":
        return "Need space between number and identifier.", "is text without its quotes meant?", end
    if match[1] or match[2]:
        return "Hex and octal numbers must be integers.", "write a decimal number", end
    return "Already saw decimal point or exponent; can't have another one.", "a number has one decimal point", end


# characters that word processors and East Asian input methods put for plain ones
_PLAIN = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u300c\u300d\u2033", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys("\u3001", ","),
    **dict.fromkeys("\u3002", "."),
    **dict.fromkeys("\u3010\u3014", "["),
    **dict.fromkeys("\u3011\u3015", "]"),
}


def _not_ascii(data: bytes) -> str:
    """Name the character at this place, and the plain one that was meant."""
    character = data[:4].decode("utf-8", "ignore")[:1]
    if not character or not data.startswith(character.encode()):
        return "only text in quotes and comments may hold bytes beyond ASCII"
    name = f"{character} (U+{ord(character):04X})"
    folded = unicodedata.normalize("NFKC", character)
    plain = _PLAIN.get(character, folded if len(folded) == 1 and folded.isascii() else "")
    if plain:
        what = "a space" if plain.isspace() else plain
        return f"{name} stands where {what} is meant: write the plain character"
    if unicodedata.category(character) in ("Cf", "Zs", "Zl", "Zp"):
        return f"an invisible character, U+{ord(character):04X}, stands here: remove it, or write a space"
    return f"{name} can stand only in text in quotes and in comments"


def _string_error(data: bytes, start: int) -> tuple[str, str, int]:
    quote = data[start : start + 1]
    match = re.compile(rb"%b(?:[^%b\\\n\0]++|%b)*+" % (quote, quote, _ESCAPED)).match(data, start)
    assert match is not None
    end = match.end()
    after = data[end : end + 1]
    if after == b"\n":
        return "String literals cannot cross line boundaries.", f"the {quote.decode()} that ends it is missing", end
    if after != b"\\":
        return "Unexpected end of string.", f"the {quote.decode()} that ends it is missing", end
    digits = re.compile(rb"\\(?:(x)|(u)[0-9A-Fa-f]{0,3}|(U)(?:0(?:0(?:[01][0-9A-Fa-f]{0,4})?)?)?|)").match(data, end)
    assert digits is not None
    mend = r"a backslash is written \\"
    if digits[1]:
        return "Expected hex digits for escape sequence.", mend, digits.end()
    if digits[2]:
        return "Expected four hex digits for \\u escape sequence.", mend, digits.end()
    if digits[3]:
        return "Expected eight hex digits up to 10ffff for \\U escape sequence", mend, digits.end()
    return "Invalid escape sequence in string literal.", mend, digits.end()
