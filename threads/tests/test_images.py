import pytest

from assistant_site.wire.errors import InvalidRequest, NotFound
from files.models import File
from threads.images import check_images, image_files_of


def message(*file_ids: str) -> dict[str, object]:
    images = [{"type": "image_file", "image_file": {"file_id": id, "detail": "auto"}} for id in file_ids]
    return {"role": "user", "content": [{"type": "text", "text": {"value": "a", "annotations": []}}, *images]}


def file(filename: str = "a.png", purpose: str = "vision") -> File:
    return File(id="file-1", filename=filename, purpose=purpose)


def test_the_files_of_messages_are_named_once() -> None:
    assert image_files_of([message("file-2", "file-1"), message(), message("file-1", "file-3")]) == [
        "file-2",
        "file-1",
        "file-3",
    ]


@pytest.mark.parametrize("filename", ["a.png", "a.jpg", "a.jpeg", "a.gif", "a.webp", "A.PNG", "a.b.Jpg", "图.webp"])
@pytest.mark.parametrize("purpose", ["vision", "assistants", "user_data", "assistants_output"])
def test_images_are_taken(filename: str, purpose: str) -> None:
    check_images([message("file-1", "file-1")], {"file-1": file(filename, purpose)})


@pytest.mark.parametrize(
    ("filename", "found"),
    [("a.pdf", ".pdf"), ("a.PDF", ".pdf"), ("a", "none"), (".png", "none"), ("a.png.zip", ".zip")],
)
def test_files_of_a_wrong_type_are_refused(filename: str, found: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_images([message("file-1")], {"file-1": file(filename)})
    assert caught.value.message == (
        "Invalid message content: Expected file type to be a supported format: "
        f".jpeg, .jpg, .png, .gif, .webp but got {found}"
    )
    assert caught.value.code == "invalid_image_format"


@pytest.mark.parametrize("purpose", ["batch", "fine-tune", "evals"])
def test_files_for_something_else_are_refused(purpose: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_images([message("file-1")], {"file-1": file(purpose=purpose)})
    assert caught.value.message == (
        "Invalid message content: Expected file purpose to be one of: vision, assistants, user_data, "
        f"assistants_output but got {purpose}"
    )


def test_a_file_that_does_not_exist() -> None:
    with pytest.raises(NotFound) as caught:
        check_images([message("file-1"), message("file-x")], {"file-1": file()})
    assert caught.value.message == "No file found with id 'file-x'."
