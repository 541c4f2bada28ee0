"""rudd for Python: what is on a picture, by a model file. One file, over librudd.so, by ctypes.

    import rudd
    with rudd.Model("fish.safetensors") as model:
        found = model.predict("photo.jpg")
        print(found.best.name, found.best.probability)

A picture is a path, the bytes of a file (JPEG, PNG and what else librudd.so was built with), a
Pillow image, or an array of bytes [height, width, channels] such as numpy's or OpenCV's (order="bgr").
Nothing but Python 3.7 is needed; numpy's arrays are taken where they lie.

Several threads: a session each, `model.session()`. Python's lock is not held while rudd computes.

librudd.so is the file that RUDD_LIBRARY in the environment names; without it, the system's.
"""
import array
import collections
import ctypes
import os
import threading

__all__ = ["Answer", "Error", "Model", "Prediction", "Session", "set_threads", "version"]

Answer = collections.namedtuple("Answer", "name probability index")
Answer.__doc__ = "One class of an answer, with its probability."


class Error(Exception):
    """What went wrong, in one line. status: "no_memory", "io", "format", "mismatch", "limit",
    "argument" or "cancelled"."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


# ---- the C interface: rudd.h says what each is ---------------------------------------------------


class _Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 2000)]


class _Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("max_batch", ctypes.c_int),
        ("threads", ctypes.c_int),
        ("memory_limit", ctypes.c_size_t),
    ]


class _Timing(ctypes.Structure):
    _fields_ = [("decode_ms", ctypes.c_double), ("infer_ms", ctypes.c_double)]


class _Pixels(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("stride", ctypes.c_ssize_t),
        ("order", ctypes.c_int),
    ]


_ORDERS = {"rgb": (0, 3), "bgr": (1, 3), "rgba": (2, 4), "bgra": (3, 4), "gray": (4, 1)}
_OK, _ARGUMENT = 0, 6
_MAJOR, _MINOR = 0, 1  # of the interface that this file is for


def _open_library():
    named = os.environ.get("RUDD_LIBRARY")
    try:
        return ctypes.CDLL(named or "librudd.so.0")
    except OSError as e:
        raise ImportError(
            "%s; install librudd0, or name the file: RUDD_LIBRARY=/path/to/librudd.so" % e
        ) from None


def _declare(library):
    pointer, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
    floats, out = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_void_p)
    error, timing = ctypes.POINTER(_Error), ctypes.POINTER(_Timing)
    options, pixels = ctypes.POINTER(_Options), ctypes.POINTER(_Pixels)
    for name, result, *arguments in (
        ("rudd_version", text),
        ("rudd_version_number", number),
        ("rudd_status_name", text, number),
        ("rudd_set_threads", None, number),
        ("rudd_model_open", number, out, text, error),
        ("rudd_model_open_bytes", number, out, text, size, error),
        ("rudd_model_close", None, pointer),
        ("rudd_model_class_count", number, pointer),
        ("rudd_model_class_name", text, pointer, number),
        ("rudd_model_class_words", text, pointer, number, number),
        ("rudd_model_arch", text, pointer),
        ("rudd_model_temperature", ctypes.c_double, pointer),
        ("rudd_model_image_size", number, pointer),
        ("rudd_model_feature_count", number, pointer),
        ("rudd_session_create_with", number, out, pointer, options, error),
        ("rudd_session_destroy", None, pointer),
        ("rudd_session_cancel", None, pointer),
        ("rudd_session_set_raw", None, pointer, number),
        ("rudd_session_set_views", number, pointer, number, error),
        ("rudd_predict_bytes", number, pointer, text, size, timing, error),
        ("rudd_predict_file", number, pointer, text, timing, error),
        ("rudd_predict_pixels", number, pointer, pixels, timing, error),
        ("rudd_predict_tensor", number, pointer, pointer, number, timing, error),
        ("rudd_session_logits", floats, pointer),
        ("rudd_session_probabilities", floats, pointer),
        ("rudd_session_embed", floats, pointer),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    found = library.rudd_version_number()
    if found // 10000 != _MAJOR or found // 100 % 100 < _MINOR:
        raise ImportError(
            "rudd.py is for librudd %d.%d, found %s; install files of one version"
            % (_MAJOR, _MINOR, library.rudd_version().decode())
        )
    return library


_lib = _declare(_open_library())


def _call(function, *arguments):
    error = _Error()
    status = function(*arguments, ctypes.byref(error))
    if status != _OK:
        name = _lib.rudd_status_name(status).decode()
        raise Error(name, error.message.decode("utf-8", "replace"))


def _text(value):
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _refuse(message, *words):
    raise Error(_lib.rudd_status_name(_ARGUMENT).decode(), message % words)


def version():
    """librudd's, such as "0.1.0"."""
    return _lib.rudd_version().decode()


def set_threads(count):
    """Threads for all sessions of the process; 0: one for each processor that it may use."""
    _lib.rudd_set_threads(count)


# ---- pictures ------------------------------------------------------------------------------------


def _lent(data):
    """Where bytes are, and what must live as long as the address is used."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value, data


def _where(values):
    """The same of an array's first element, without a copy; None where only a copy can be had."""
    interface = getattr(values, "__array_interface__", None)
    if interface and isinstance(interface["data"], tuple):
        return interface["data"][0], values
    return None


def _pixels_of(picture, order):
    """_Pixels of an array [height, width] or [height, width, channels], and what it needs alive."""
    view = memoryview(picture)
    if view.format != "B" or view.ndim not in (2, 3):
        _refuse(
            "a picture as an array: found %d dimensions of type %r, expected bytes (uint8) "
            "[height, width] or [height, width, channels]",
            view.ndim,
            view.format,
        )
    channels = view.shape[2] if view.ndim == 3 else 1
    if order is None:
        order = {1: "gray", 3: "rgb", 4: "rgba"}.get(channels)
    if order not in _ORDERS or _ORDERS[order][1] != channels:
        _refuse(
            "a picture of %d channels: found order %r, expected one of %s with as many",
            channels,
            order,
            ", ".join(sorted(_ORDERS)),
        )
    height, width = view.shape[:2]
    together = view.strides[1:] == ((channels,) if view.ndim == 2 else (channels, 1))
    found, stride = (_where(picture) if together else None), view.strides[0]
    if not found:
        found, stride = _lent(view.tobytes()), 0
    return _Pixels(found[0], width, height, stride, _ORDERS[order][0]), found[1]


def _of_pillow(image):
    """A Pillow image as RGB, upright as its camera says."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image).convert("RGB")
    address, data = _lent(image.tobytes())
    return _Pixels(address, image.width, image.height, 0, _ORDERS["rgb"][0]), data


# ---- models and sessions -------------------------------------------------------------------------


class Prediction:
    """What a session found on one picture.

    classes         names, in the order of the arrays
    probabilities   array of float32, a number for each class; they add up to 1
    logits          array of float32, what the network gave
    features        array of float32, what its classifier was given: pictures that look alike have
                    features in like directions; None for a session of several views
    decode_ms, infer_ms   milliseconds for the picture, and for the network
    """

    def __init__(self, classes, probabilities, logits, features, timing):
        self.classes = classes
        self.probabilities = probabilities
        self.logits = logits
        self.features = features
        self.decode_ms = timing.decode_ms
        self.infer_ms = timing.infer_ms

    def top(self, count=5):
        """The `count` most probable answers, the first one first."""
        order = sorted(range(len(self.classes)), key=lambda i: (-self.probabilities[i], i))
        return [Answer(self.classes[i], self.probabilities[i], i) for i in order[:count]]

    @property
    def best(self):
        return self.top(1)[0]

    def __repr__(self):
        return "<rudd.Prediction %s>" % ", ".join("%s %.3f" % a[:2] for a in self.top(3))


class _Closing:
    """What `with` closes, and whoever lets go of it."""

    _handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if self._handle is not None:
            self.close()


class Session(_Closing):
    """A model's place to compute in: Model.session() makes one. Threads that share it wait for each
    other, but for cancel()."""

    def __init__(self, model, max_batch=1, threads=0, memory_limit=0, views=1, raw=False):
        self.model = model
        self._lock = threading.Lock()
        self._handle = None
        options = _Options(ctypes.sizeof(_Options), max_batch, threads, memory_limit)
        handle = ctypes.c_void_p()
        with model._guard:
            _call(_lib.rudd_session_create_with, ctypes.byref(handle), model._alive(), options)
            model._sessions[handle.value] = self._lock
        self._handle = handle.value
        _lib.rudd_session_set_raw(handle, int(raw))
        _call(_lib.rudd_session_set_views, handle, views)

    def _alive(self):
        if self._handle not in self.model._sessions:
            _refuse("this session is closed; Model.session() makes another")
        return self._handle

    def predict(self, picture, order=None):
        """What is on one picture. order, for arrays: "rgb", "bgr", "rgba", "bgra" or "gray";
        without it, by the number of channels, red first."""
        timing = _Timing()
        with self._lock:
            self._run(picture, order, timing)
            return self._results(1, timing)[0]

    def _run(self, picture, order, timing):
        handle = self._alive()
        if isinstance(picture, (str, os.PathLike)):
            _call(_lib.rudd_predict_file, handle, os.fsencode(picture), timing)
            return
        if isinstance(picture, (bytes, bytearray)) or (
            isinstance(picture, memoryview) and picture.ndim == 1
        ):
            data = bytes(picture)
            _call(_lib.rudd_predict_bytes, handle, data, len(data), timing)
            return
        if hasattr(picture, "convert") and hasattr(picture, "tobytes"):
            pixels, kept = _of_pillow(picture)
        else:
            try:
                pixels, kept = _pixels_of(picture, order)
            except TypeError:
                _refuse(
                    "found %s for a picture; expected a path, bytes, a Pillow image or an array",
                    type(picture).__name__,
                )
        _call(_lib.rudd_predict_pixels, handle, pixels, timing)
        del kept

    def predict_tensor(self, values):
        """Predictions of normalised images, float32 [count, 3, S, S] with S = model.image_size and
        count at most the session's max_batch: straight into the network."""
        view, side = memoryview(values), self.model.image_size
        if view.format != "f" or view.ndim != 4 or view.shape[1:] != (3, side, side):
            _refuse(
                "a tensor: found %r %s, expected float32 [count, 3, %d, %d]",
                view.format,
                list(view.shape or []),
                side,
                side,
            )
        timing, count = _Timing(), view.shape[0]
        found = (_where(values) if view.c_contiguous else None) or _lent(view.tobytes())
        with self._lock:
            _call(_lib.rudd_predict_tensor, self._alive(), found[0], count, timing)
            return self._results(count, timing)

    def _results(self, count, timing):
        classes, handle = self.model.classes, self._handle
        features = self.model.feature_count

        def rows(pointer, length):
            if not pointer:
                return [None] * count
            size = ctypes.sizeof(ctypes.c_float) * length
            data = ctypes.string_at(pointer, size * count)
            return [array.array("f", data[i * size : (i + 1) * size]) for i in range(count)]

        probabilities = rows(_lib.rudd_session_probabilities(handle), len(classes))
        logits = rows(_lib.rudd_session_logits(handle), len(classes))
        embedded = rows(_lib.rudd_session_embed(handle), features)
        return [
            Prediction(classes, probabilities[i], logits[i], embedded[i], timing)
            for i in range(count)
        ]

    def cancel(self):
        """From any thread: the prediction that is being made, or else the next one, raises Error
        with status "cancelled"."""
        with self.model._guard:
            _lib.rudd_session_cancel(self._alive())

    def close(self):
        self.model._close_session(self._handle)


class Model(_Closing):
    """A model file, by its path or its bytes.

    arch, image_size, feature_count, temperature (None: not calibrated)
    classes                   names, in the order of the network's outputs
    latin, english, russian   what people call them: a name or None for each class
    """

    def __init__(self, source):
        self._handle = None
        self._own = None
        self._sessions = {}  # of the library, each with the lock of what it belongs to
        self._guard = threading.RLock()  # of both; not held while a session computes
        handle = ctypes.c_void_p()
        if isinstance(source, (bytes, bytearray, memoryview)):
            self._bytes = bytes(source)  # the library reads them as long as the model is open
            _call(_lib.rudd_model_open_bytes, ctypes.byref(handle), self._bytes, len(self._bytes))
        else:
            _call(_lib.rudd_model_open, ctypes.byref(handle), os.fsencode(source))
        self._handle = handle
        count = range(_lib.rudd_model_class_count(handle))
        self.arch = _text(_lib.rudd_model_arch(handle))
        self.image_size = _lib.rudd_model_image_size(handle)
        self.feature_count = _lib.rudd_model_feature_count(handle)
        self.temperature = _lib.rudd_model_temperature(handle) or None
        self.classes = tuple(_text(_lib.rudd_model_class_name(handle, i)) for i in count)
        self.latin, self.english, self.russian = (
            tuple(_text(_lib.rudd_model_class_words(handle, i, words)) for i in count)
            for words in range(3)
        )

    def _alive(self):
        if self._handle is None:
            _refuse("this model is closed; rudd.Model(FILE) opens it again")
        return self._handle

    def session(self, max_batch=1, threads=0, memory_limit=0, views=1, raw=False):
        """A session of its own, for a thread of its own.

        threads        at most so many for it; 0: all of the process. Results do not depend on it
        memory_limit   bytes; 0: no limit
        views          average over 2, 6 or 10 views of each picture: more accurate, slower
        raw            probabilities of the network itself, without the model's temperature
        """
        return Session(self, max_batch, threads, memory_limit, views, raw)

    def predict(self, picture, order=None):
        """What is on one picture, by a session that the model keeps: see Session.predict."""
        with self._guard:
            if self._own is None:
                self._own = Session(self)
        return self._own.predict(picture, order)

    def _close_session(self, handle):
        lock = self._sessions.get(handle)
        if lock is None:
            return
        with lock, self._guard:
            if self._sessions.pop(handle, None):
                _lib.rudd_session_destroy(handle)

    def close(self):
        """Closes its sessions, too, each when it has answered."""
        with self._guard:
            handle, self._handle, self._own = self._handle, None, None
        if handle is None:
            return
        for session in list(self._sessions):
            self._close_session(session)
        _lib.rudd_model_close(handle)

    def __repr__(self):
        return "<rudd.Model %s, %d classes>" % (self.arch, len(self.classes))
