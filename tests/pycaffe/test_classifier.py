"""caffe.Classifier and caffe.Detector: what they cut out of images, and what the net then sees."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_fillers as cf
import caffe_fillers.pycaffe as caffe

SETTINGS = dict(mean=np.array([10.0, 20.0, 30.0]), raw_scale=255.0, channel_swap=(2, 1, 0), input_scale=0.01)


@pytest.fixture
def files(deploy_file, tmp_path):
    caffe.set_random_seed(1)
    weights = str(tmp_path / "weights.caffemodel")
    caffe.Net(deploy_file, caffe.TEST).save(weights)
    return deploy_file, weights


def by_hand(image):
    """Return the input of the net of `files` for an image of its size."""
    given = image[:, :, ::-1].transpose(2, 0, 1) * 255.0
    return (given - SETTINGS["mean"][:, None, None]) * 0.01


def test_predict_by_hand(files):
    images = list(np.random.RandomState(0).uniform(0, 1, (3, 12, 10, 3)).astype(np.float32))
    net = caffe.Net(*files, caffe.TEST)
    classifier = caffe.Classifier(*files, image_dims=(12, 10), **SETTINGS)
    middle = classifier.predict(images, oversample=False)
    expected = net.forward_all(data=np.stack([by_hand(image[2:10, 1:9]) for image in images]))["prob"]
    np.testing.assert_allclose(middle, expected, atol=1e-6)
    ten = classifier.predict(images)
    assert ten.shape == (3, 2)
    crops = caffe.io.oversample(images, (8, 8))
    expected = net.forward_all(data=np.stack([by_hand(crop) for crop in crops]))["prob"].reshape(3, 10, 2).mean(1)
    np.testing.assert_allclose(ten, expected, atol=1e-6)


def test_images_are_resized(files):
    image = np.random.RandomState(1).uniform(0, 1, (30, 20, 3)).astype(np.float32)
    classifier = caffe.Classifier(*files, **SETTINGS)
    assert classifier.image_dims.tolist() == [8, 8]
    result = classifier.predict([image], oversample=False)
    expected = classifier.forward(data=np.stack([by_hand(caffe.io.resize_image(image, (8, 8)))] * 4))["prob"][:1]
    np.testing.assert_allclose(result, expected, atol=1e-6)
    with pytest.raises(cf.CaffeError, match="at least one image"):
        classifier.predict([])


def test_detect_windows(files, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.RandomState(2).randint(0, 256, (20, 30, 3)).astype(np.uint8)
    path = str(tmp_path / "image.png")
    image.fromarray(pixels).save(path)
    detector = caffe.Detector(*files, **SETTINGS)
    windows = np.array([[0, 0, 8, 8], [3, 4, 20, 30]])
    found = detector.detect_windows([(path, windows)])
    assert [each["filename"] for each in found] == [path, path]
    assert [each["window"].tolist() for each in found] == windows.tolist()
    unit = (pixels / 255.0).astype(np.float32)
    net = caffe.Net(*files, caffe.TEST)
    crops = [unit[:8, :8], caffe.io.resize_image(unit[3:20, 4:30], (8, 8))]
    expected = net.forward_all(data=np.stack([by_hand(crop) for crop in crops]))["prob"]
    np.testing.assert_allclose([each["prediction"] for each in found], expected, atol=1e-5)
    with pytest.raises(cf.CaffeError, match="at least one window"):
        detector.detect_windows([])
    with pytest.raises(cf.CaffeError, match="holds no pixel"):
        detector.detect_windows([(path, [(5, 5, 5, 9)])])


def test_context_around_a_window(files):
    image = np.random.RandomState(3).uniform(0, 1, (40, 40, 3)).astype(np.float32)
    detector = caffe.Detector(*files, context_pad=2, **SETTINGS)
    # the window is half of what is shown: 8 pixels, 2 of them context at each side
    shown = detector.crop(image, np.array([10, 12, 19, 21]))
    assert shown.shape == (8, 8, 3)
    assert np.array_equal(shown, caffe.io.resize_image(image[5:25, 7:27], (8, 8)))
    # beyond the image lies the mean: RGB in [0, 1], as the image is
    corner = detector.crop(image, np.array([0, 0, 9, 9]))
    mean = (SETTINGS["mean"][::-1] / 255).astype(np.float32)
    assert np.array_equal(corner[0], np.tile(mean, (8, 1)))
    assert np.array_equal(corner[:, 0], np.tile(mean, (8, 1)))
    with pytest.raises(cf.CaffeError, match="lies beyond"):
        detector.crop(image, np.array([100, 100, 109, 109]))


def test_selective_search_is_asked_for(files):
    with pytest.raises(cf.CaffeError, match="hand them to detect_windows"):
        caffe.Detector(*files).detect_selective_search(["x.png"])


def test_a_net_without_an_input(net_file, net, tmp_path):
    net.save(str(tmp_path / "w"))
    with pytest.raises(cf.CaffeError, match="no Input layer"):
        caffe.Classifier(net_file, str(tmp_path / "w"))
