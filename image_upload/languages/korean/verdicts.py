"""The verdicts about files that arrived, for their users: the English template, and the same facts in Korean."""

from collections.abc import Mapping
from typing import Final

VERDICTS: Final[Mapping[str, str]] = {
    "The file is empty. Choose another one.": "빈 파일입니다. 다른 파일을 선택해 주세요.",
    "The picture cannot be read: it is damaged, or was cut off on its way. Open it, save it anew, and send that.": (
        "이미지를 읽을 수 없습니다. 파일이 손상되었거나 전송 중에 잘렸습니다. 열어서 다시 저장한 뒤 보내 주세요."
    ),
    "The file was sent as {declared}, but that is not what it holds. Choose the right file.": (
        "파일을 {declared} 형식으로 보냈지만 내용이 다릅니다. 올바른 파일을 선택해 주세요."
    ),
    "The file was sent as {declared}, but it is {true}. Choose the right file, or send it as what it is.": (
        "파일을 {declared} 형식으로 보냈지만 실제로는 {true}입니다. 올바른 파일을 선택하거나 실제 형식으로 보내 주세요."
    ),
    "The file is {true}, which is not taken here. Convert it to one of these types: {types}.": (
        "파일 형식이 {true}이며 여기서는 받지 않습니다. 다음 형식 중 하나로 변환해 주세요: {types}."
    ),
    "The file is no text in {charset}. Save it as UTF-8, or send it with its charset: {type}; charset=euc-kr.": (
        "파일이 {charset} 텍스트가 아닙니다. UTF-8로 저장하거나 문자 집합을 지정해 보내 주세요: {type}; charset=euc-kr."
    ),
    "The picture has {width} x {height} pixels, more than {limit} million in all. Make it smaller.": (
        "이미지가 {width} x {height} 픽셀로, 총 {limit}백만 픽셀을 넘습니다. 크기를 줄여 주세요."
    ),
    "The animation has more than {limit} frames. Make it shorter, or send it as a film.": (
        "애니메이션 프레임이 {limit}개를 넘습니다. 길이를 줄이거나 동영상으로 보내 주세요."
    ),
    # The same, where only the fault is known.
    (
        "The file is not of the type that it was sent as, so it was not kept. Send the file itself, unchanged and "
        "under its own type."
    ): "파일의 실제 형식이 보낸 형식과 달라 저장하지 않았습니다. 원본 파일을 실제 형식으로 보내 주세요.",
    "The file is damaged or incomplete, so it was not kept. Open it on your device, save it again, and send it.": (
        "파일이 손상되었거나 불완전해 저장하지 않았습니다. 기기에서 열어 다시 저장한 뒤 보내 주세요."
    ),
    "The picture has more pixels than this service takes, so it was not kept. Make it smaller.": (
        "이미지의 픽셀 수가 허용 범위를 넘어 저장하지 않았습니다. 크기를 줄여 주세요."
    ),
    "The animation has more frames than this service takes, so it was not kept. Shorten it.": (
        "애니메이션의 프레임 수가 허용 범위를 넘어 저장하지 않았습니다. 길이를 줄여 주세요."
    ),
    "The file holds malware, so it is not published. Check the device that it comes from.": (
        "파일에 악성 코드가 있어 공개하지 않습니다. 파일을 보낸 기기를 점검해 주세요."
    ),
    (
        "The file cannot be scanned for malware, so it is not published. If it has a password, send it without one."
    ): "악성 코드 검사를 할 수 없어 공개하지 않습니다. 암호가 걸려 있으면 암호 없이 보내 주세요.",
}
