"""A drawn street, for runs without any video: cars and people that move, lamps, a clock.

Pure: a picture is three planes of 4:2:0 video. The scene repeats without a seam.
"""

from __future__ import annotations

from dataclasses import dataclass

_GLYPHS = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717",
    "6": "74757", "7": "71122", "8": "75757", "9": "75717", ":": "02020", ".": "00002",
    " ": "00000", "K": "55655", "H": "55755", "U": "55557", "P": "75744", "O": "75557",
}  # fmt: skip
"""Five rows of three pixels each, one octal digit a row."""

Colour = tuple[int, int, int]
"""Y, U, V of BT.601, limited range."""

_SKY, _HOUSE, _DOOR = (150, 140, 118), (120, 118, 138), (70, 122, 134)
_WINDOW, _WALK, _ROAD, _LINE = (190, 110, 128), (140, 126, 130), (80, 128, 128), (210, 120, 132)
_GLASS, _WHEEL, _HEAD = (60, 136, 122), (24, 128, 128), (150, 108, 150)
_CARS: tuple[Colour, ...] = (
    (100, 90, 200), (150, 170, 90), (200, 128, 128), (60, 150, 110), (170, 60, 150), (50, 128, 128),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: bytes of the planes, without padding."""

    y: bytes
    u: bytes
    v: bytes


class _Canvas:
    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.y = bytearray(width * height)
        self.u = bytearray(width * height // 4)
        self.v = bytearray(width * height // 4)

    def copy(self) -> _Canvas:
        other = _Canvas(0, 0)
        other.width, other.height = self.width, self.height
        other.y, other.u, other.v = bytearray(self.y), bytearray(self.u), bytearray(self.v)
        return other

    def fill(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        """A rectangle; what lies outside the picture is left out."""
        left, right = max(x, 0) & ~1, min(x + width, self.width) & ~1
        top, bottom = max(y, 0) & ~1, min(y + height, self.height) & ~1
        if right <= left:
            return
        bright = bytes((colour[0],)) * (right - left)
        for row in range(top, bottom):
            self.y[row * self.width + left : row * self.width + right] = bright
        half = self.width // 2
        for plane, value in ((self.u, colour[1]), (self.v, colour[2])):
            tint = bytes((value,)) * ((right - left) // 2)
            for row in range(top // 2, bottom // 2):
                plane[row * half + left // 2 : row * half + right // 2] = tint

    def text(self, x: int, y: int, text: str, dot: int) -> None:
        """Bright text of 3 by 5 dots a letter."""
        for letter in text:
            for row, bits in enumerate(_GLYPHS.get(letter, _GLYPHS[" "])):
                for column in range(3):
                    if int(bits, 8) & 4 >> column:
                        self.fill(x + column * dot, y + row * dot, dot, dot, (235, 128, 128))
            x += 4 * dot


class Street:
    """Draws the scene. Width and height must be even; `frames` is one round of it."""

    def __init__(self, width: int, height: int, frames: int, frame_rate: int) -> None:
        self._frames = frames
        self._rate = frame_rate
        self._empty = _Canvas(width, height)
        self._draw_houses()

    def _draw_houses(self) -> None:
        canvas = self._empty
        width, height = canvas.width, canvas.height
        canvas.fill(0, 0, width, height, _SKY)
        house = width // 8
        for n in range(8):
            roof = height * (10 + n * 5 % 13) // 100
            tone = _HOUSE[0] + n * 7 % 40
            canvas.fill(n * house, roof, house - 4, height // 2 - roof, (tone, *_HOUSE[1:]))
            for floor in range(roof + height // 40, height * 2 // 5, height // 12):
                for window in range(3):
                    x = n * house + house // 8 + window * house // 4
                    canvas.fill(x, floor, house // 7, height // 22, _WINDOW)
            canvas.fill(n * house + house // 3, height * 21 // 50, house // 5, height // 12, _DOOR)
        canvas.fill(0, height // 2, width, height // 10, _WALK)
        canvas.fill(0, height * 3 // 5, width, height * 2 // 5, _ROAD)
        for dash in range(0, width, width // 12):
            canvas.fill(dash, height * 39 // 50, width // 30, max(height // 120, 2), _LINE)

    def picture(self, number: int) -> Picture:
        """The picture of that number; after one round the first comes again."""
        number %= self._frames
        canvas = self._empty.copy()
        width, height = canvas.width, canvas.height
        for n in range(9):
            self._draw_person(canvas, n, number)
        for n, colour in enumerate(_CARS):
            rounds = 1 + n % 2
            length, tall = width // 9 + n % 3 * width // 40, height // 10
            path = width + length
            x = (number * rounds * path // self._frames + n * path // len(_CARS)) % path - length
            lane = n % 2
            if not lane:
                x = width - x - length
            y = height * (65 if lane else 83) // 100
            canvas.fill(x, y, length, tall, colour)
            canvas.fill(x + length // 5, y + tall // 8, length * 3 // 5, tall // 3, _GLASS)
            for wheel in (length // 7, length * 5 // 7):
                canvas.fill(x + wheel, y + tall * 4 // 5, length // 8, tall // 3, _WHEEL)
        dot = max(height // 180 * 2, 2)
        second, frame = divmod(number, self._rate)
        moment = f"00:{second // 60:02d}:{second % 60:02d}.{frame * 100 // self._rate:02d}"
        canvas.text(4 * dot, 4 * dot, f"KHU PHO  {moment}", dot)
        return Picture(bytes(canvas.y), bytes(canvas.u), bytes(canvas.v))

    def _draw_person(self, canvas: _Canvas, n: int, number: int) -> None:
        width, height = canvas.width, canvas.height
        body = width // 70
        path = width + 2 * body
        x = (number * path // self._frames + n * path // 9) % path - 2 * body
        if n % 2:
            x = width - x - body
        step = number // 3 % 2 * 2
        y = height * (47 + n % 3 * 2) // 100
        canvas.fill(x, y, body, height // 14, (60 + n * 19, 90 + n * 9, 170 - n * 9))
        canvas.fill(x + body // 6, y - height // 40, body * 2 // 3, height // 40, _HEAD)
        canvas.fill(x + step, y + height // 14, body // 3, height // 26, _WHEEL)
        canvas.fill(x + body // 2 + step, y + height // 14, body // 3, height // 26, _WHEEL)
