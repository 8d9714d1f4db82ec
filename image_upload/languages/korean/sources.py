"""The details of imports from a URL: the English template, and the same facts in Korean."""

from collections.abc import Mapping
from typing import Final

SOURCES: Final[Mapping[str, str]] = {
    "This is no URL of the form https://host/path. Copy the address of the file itself.": (
        "https://host/path 형식의 URL이 아닙니다. 파일의 주소를 복사해 주세요."
    ),
    "The URL's host or path has characters that no URL has. Send it percent-encoded.": (
        "URL의 호스트나 경로에 사용할 수 없는 문자가 있습니다. 퍼센트 인코딩하여 보내 주세요."
    ),
    "The URL's host or port is none. Copy the address of the file again.": (
        "URL의 호스트나 포트가 올바르지 않습니다. 파일의 주소를 다시 복사해 주세요."
    ),
    "The URL holds a user name or a password. Send one that needs none.": (
        "URL에 사용자 이름이나 비밀번호가 있습니다. 필요 없는 URL을 보내 주세요."
    ),
    "The URL names a port of its own. Send one without a port.": (
        "URL에 포트가 지정되어 있습니다. 포트가 없는 URL을 보내 주세요."
    ),
    "The URL is not https. Send one that is.": "https URL이 아닙니다. https URL을 보내 주세요.",
    "The URL's host leads to an address that is not public. Send the URL of a public server.": (
        "URL의 호스트가 공개되지 않은 주소를 가리킵니다. 공개 서버의 URL을 보내 주세요."
    ),
    "This service imports nothing from URLs. Send the file itself to POST /uploads.": (
        "이 서비스는 URL에서 파일을 가져오지 않습니다. POST /uploads로 파일을 직접 보내 주세요."
    ),
    "The URL's server did not answer within {seconds} s. Try again later.": (
        "원본 서버가 {seconds}초 안에 응답하지 않았습니다. 나중에 다시 시도해 주세요."
    ),
    "The URL's server is too slow. Try again later.": "원본 서버가 너무 느립니다. 나중에 다시 시도해 주세요.",
    "The import took too long. Nothing was stored. Send the file yourself.": (
        "가져오는 데 시간이 너무 오래 걸렸습니다. 저장된 것은 없습니다. 파일을 직접 보내 주세요."
    ),
    "The URL redirects more than {most} times. Send the URL that it leads to.": (
        "URL이 {most}번 넘게 리디렉션됩니다. 최종 URL을 보내 주세요."
    ),
    "The URL redirects to what is no URL. Send the URL that it leads to.": (
        "URL이 올바르지 않은 곳으로 리디렉션됩니다. 최종 URL을 보내 주세요."
    ),
    "The URL's server cannot be reached, or broke off. Compare the URL, or try again later.": (
        "원본 서버에 연결할 수 없거나 연결이 끊어졌습니다. URL을 확인하거나 나중에 다시 시도해 주세요."
    ),
    "The URL's server answered {status}. Try again later.": (
        "원본 서버가 {status}(으)로 응답했습니다. 나중에 다시 시도해 주세요."
    ),
    "The URL's server answered {status}, not 200. Open the URL in a browser that is not signed in: it must show the "
    "file.": (
        "원본 서버가 200이 아니라 {status}(으)로 응답했습니다. 로그인하지 않은 브라우저에서 URL을 열어 파일이 보이는지 "
        "확인해 주세요."
    ),
    "The URL's server sends the file compressed, although it was asked not to. Send the URL of the plain file.": (
        "압축하지 말라고 요청했지만 원본 서버가 파일을 압축해서 보냅니다. 압축되지 않은 파일의 URL을 보내 주세요."
    ),
    "The service imports no more files at the moment. Nothing was stored. Try again in a few seconds.": (
        "지금은 파일을 더 가져올 수 없습니다. 저장된 것은 없습니다. 몇 초 후에 다시 시도해 주세요."
    ),
    "The file is too long for a source that does not say how long it is. Send a source that does.": (
        "길이를 알려 주지 않는 원본의 파일이 너무 깁니다. 길이를 알려 주는 원본을 보내 주세요."
    ),
}
