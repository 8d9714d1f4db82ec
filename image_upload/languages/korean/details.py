"""The details of the codes that an end user can cause: the English template, and the same facts in Korean.

A detail that is not here is for developers and operators; its answer is in English as a whole.
"""

from collections.abc import Mapping
from typing import Final

from image_upload.languages.korean.access import ACCESS
from image_upload.languages.korean.sources import SOURCES
from image_upload.languages.korean.verdicts import VERDICTS

DETAILS: Final[Mapping[str, str]] = {
    # Words that stand in sentences.
    "user": "사용자",
    "address": "주소",
    "post": "게시물",
    "file": "파일",
    "size": "크기",
    "type": "형식",
    "checksum": "체크섬",
    # Sentences.
    "There is no such file. GET /docs names those of this version.": (
        "해당 파일이 없습니다. 이 버전의 파일은 GET /docs에서 확인해 주세요."
    ),
    "There is no such file. GET / names those of this version.": (
        "해당 파일이 없습니다. 이 버전의 파일은 GET /에서 확인해 주세요."
    ),
    "The token's audience (aud) is not this service. Have it issued for it, or add the audience to JWT_AUDIENCE.": (
        "토큰의 대상(aud)이 이 서비스가 아닙니다. 이 서비스용으로 토큰을 다시 발급받거나 JWT_AUDIENCE에 대상을 추가해 "
        "주세요."
    ),
    "The token's issuer (iss) is not the JWT_ISSUER of this service. Compare the two.": (
        "토큰의 발급자(iss)가 이 서비스의 JWT_ISSUER와 다릅니다. 두 값을 비교해 주세요."
    ),
    "The token lacks a claim. It must have sub and exp; also aud with JWT_AUDIENCE, and iss with JWT_ISSUER.": (
        "토큰에 필요한 클레임이 없습니다. sub와 exp가 있어야 하고, JWT_AUDIENCE가 설정되어 있으면 aud, JWT_ISSUER가 "
        "설정되어 있으면 iss도 있어야 합니다."
    ),
    "The token's subject (sub) is neither text nor a whole number. Correct it at its issuer.": (
        "토큰의 주체(sub)가 문자열도 정수도 아닙니다. 발급하는 쪽에서 고쳐 주세요."
    ),
    "There is an object under this key. Choose another one, or delete the object.": (
        "이 키의 객체가 이미 있습니다. 다른 키를 고르거나 객체를 삭제해 주세요."
    ),
    "There is an object under this key, and it is not overwritten. Start a new upload.": (
        "이 키의 객체가 이미 있으며 덮어쓰지 않습니다. 새 업로드를 시작해 주세요."
    ),
    "The file is not verified yet. Try again in a moment.": (
        "파일 검증이 아직 끝나지 않았습니다. 잠시 후 다시 시도해 주세요."
    ),
    "The queue of the workers does not take the task now. Try again in a moment.": (
        "작업자 큐가 지금은 작업을 받지 않습니다. 잠시 후 다시 시도해 주세요."
    ),
    "This route needs the token of the job. Send it as: Authorization: Bearer <token>.": (
        "이 경로에는 작업의 토큰이 필요합니다. Authorization: Bearer <token> 형식으로 보내 주세요."
    ),
    "This is not the token of this job, or its week is over. Send the message's token.": (
        "이 작업의 토큰이 아니거나 일주일이 지났습니다. 메시지의 token을 보내 주세요."
    ),
    "The job is being written by others. Post the result again in a moment.": (
        "다른 곳에서 작업을 쓰고 있습니다. 잠시 후 결과를 다시 보내 주세요."
    ),
    "The file of this Idempotency-Key is stored already. For another file, send a new key.": (
        "이 Idempotency-Key의 파일은 이미 저장되어 있습니다. 다른 파일에는 새 키를 보내 주세요."
    ),
    "The plans of so many files do not fit one answer. Send fewer at a time.": (
        "파일이 너무 많아 한 번에 응답할 수 없습니다. 파일 수를 줄여 나누어 보내 주세요."
    ),
    ("{count} of {total} files are not allowed, so nothing was minted. Correct or drop them. File {index}: {detail}"): (
        "파일 {total}개 중 {count}개가 허용되지 않아 아무것도 발급하지 않았습니다. 해당 파일을 고치거나 빼고 "
        "다시 보내 주세요. 파일 {index}: {detail}"
    ),
    "This route takes at most {limit}. Ask POST /uploads for a presigned URL and send the file to S3 itself.": (
        "이 경로는 최대 {limit}까지 받습니다. POST /uploads로 presigned URL을 발급받아 파일을 S3로 직접 보내 주세요."
    ),
    "The body did not arrive within {seconds} s. Send it again over a faster line.": (
        "요청 본문이 {seconds}초 안에 도착하지 않았습니다. 더 빠른 연결에서 다시 보내 주세요."
    ),
    "The request's head did not arrive within {seconds} s. Send it again.": (
        "요청 헤더가 {seconds}초 안에 도착하지 않았습니다. 다시 보내 주세요."
    ),
    "The file arrives too slowly. Send it again over a faster line.": (
        "파일이 너무 느리게 도착합니다. 더 빠른 연결에서 다시 보내 주세요."
    ),
    "The database does not answer as it should. Try again in a moment.": (
        "데이터베이스가 올바르게 응답하지 않습니다. 잠시 후 다시 시도해 주세요."
    ),
    "The database lacks a table of this version. The service's operator runs: python -m image_upload migrate-db.": (
        "데이터베이스에 이 버전에 필요한 테이블이 없습니다. 서비스 운영자가 다음 명령을 실행해야 합니다: python -m "
        "image_upload migrate-db."
    ),
    "The file is empty (0 bytes); nothing was stored. Choose a file with content.": (
        "파일이 비어 있어(0 bytes) 아무것도 저장하지 않았습니다. 내용이 있는 파일을 선택해 주세요."
    ),
    "The file has {size}; its purpose takes at most {limit}. It is not kept. Send a smaller one.": (
        "파일 크기가 {size}이고, 이 용도에는 최대 {limit}까지 저장할 수 있습니다. 파일은 보관하지 않았습니다. 더 "
        "작은 파일을 보내 주세요."
    ),
    "The file is larger than the {limit} that its purpose takes; it is not kept. Send a smaller one.": (
        "파일이 이 용도의 한도인 {limit}보다 커서 보관하지 않았습니다. 더 작은 파일을 보내 주세요."
    ),
    "The file is longer than the form announced, and too long to go on. Send the form with a Content-Length.": (
        "파일이 폼에서 알린 것보다 길어 계속 받을 수 없습니다. Content-Length를 넣어 폼을 다시 보내 주세요."
    ),
    (
        "The file has {size}; the purpose {purpose} takes at most {limit} this way. Make the file smaller, or "
        "choose another purpose."
    ): (
        "파일 크기가 {size}이고, 이 방식으로는 용도 {purpose}에 최대 {limit}까지 보낼 수 있습니다. 파일 크기를 "
        "줄이거나 다른 용도를 선택해 주세요."
    ),
    "This code or token was used before, is too old, or is none of this service. Sign in again.": (
        "코드나 토큰이 이미 사용되었거나, 너무 오래되었거나, 이 서비스의 것이 아닙니다. 다시 로그인해 주세요."
    ),
    "What the identity provider says of the user cannot be trusted. Begin the sign-in again.": (
        "인증 서비스가 보낸 사용자 정보를 신뢰할 수 없습니다. 로그인을 다시 시작해 주세요."
    ),
    "Something went wrong in this service. Report the request_id to its operator.": (
        "서비스에 문제가 발생했습니다. 운영자에게 request_id를 알려 주세요."
    ),
    "The file name holds a path. Send the bare name, such as cat.jpg.": (
        "파일 이름에 경로가 들어 있습니다. cat.jpg와 같이 이름만 보내 주세요."
    ),
    "The file name is empty. Send the name the file has, such as cat.jpg.": (
        "파일 이름이 비어 있습니다. cat.jpg와 같은 파일 이름을 보내 주세요."
    ),
    "The file name holds control characters. Send a printable name.": (
        "파일 이름에 제어 문자가 들어 있습니다. 표시할 수 있는 문자로 된 이름을 보내 주세요."
    ),
    "The file name piles more than {limit} accents onto a letter. Rename the file and try again.": (
        "파일 이름의 한 글자에 결합 부호가 {limit}개 넘게 붙어 있습니다. 파일 이름을 바꾸어 다시 시도해 주세요."
    ),
    "The file name is longer than {limit} characters. Shorten it and try again.": (
        "파일 이름이 {limit}자를 넘습니다. 이름을 줄여 다시 시도해 주세요."
    ),
    "The name is no UTF-8. Rename the file; convmv does it for whole folders: convmv -f cp949 -t utf8 -r DIR.": (
        "이름이 UTF-8이 아닙니다. 파일 이름을 바꿔 주세요. 폴더 전체는 convmv로 바꿀 수 있습니다: convmv -f "
        "cp949 -t utf8 -r DIR."
    ),
    "The upload's time is over, and S3 has nothing. Start a new one.": (
        "업로드 시간이 끝났고 S3에 파일이 없습니다. 새 업로드를 시작해 주세요."
    ),
    "S3 has no such object yet. Send the file, then complete.": (
        "S3에 아직 파일이 없습니다. 파일을 보낸 뒤 완료해 주세요."
    ),
    "The file has arrived, and is not verified yet. Ask again in a moment.": (
        "파일이 도착했고 아직 검사 중입니다. 잠시 후 다시 요청해 주세요."
    ),
    "There is no such {kind} of yours. Compare the id with the one you were given.": (
        "해당 {kind}을(를) 찾을 수 없습니다. 받은 id와 비교해 주세요."
    ),
    "There is no such error code. GET /errors lists them all.": (
        "해당 오류 코드가 없습니다. GET /errors에서 모든 코드를 볼 수 있습니다."
    ),
    "There is nothing at this path. GET /docs lists the routes.": (
        "이 경로에는 아무것도 없습니다. GET /docs에서 경로 목록을 볼 수 있습니다."
    ),
    "There is no such object of yours. Compare the key with the one you were given.": (
        "해당 파일을 찾을 수 없습니다. 받은 키와 비교해 주세요."
    ),
    (
        "The connection to S3 broke after the last byte, so the file may be stored or not. Look for it before "
        "you send it again."
    ): (
        "마지막 바이트를 보낸 뒤 S3와의 연결이 끊겨 파일이 저장되었는지 알 수 없습니다. 다시 보내기 전에 파일이 "
        "있는지 확인해 주세요."
    ),
    "The identity provider does not answer as it should. Try again in a moment.": (
        "인증 서비스가 올바르게 응답하지 않습니다. 잠시 후 다시 시도해 주세요."
    ),
    (
        "This is more than your quota for today allows. Left of it: {size}, number of files: {files}. A new day "
        "begins at {resets_at}. Try again then."
    ): (
        "오늘의 저장 한도를 넘습니다. 남은 한도: {size}, 파일 수: {files}. 한도는 {resets_at}에 초기화됩니다. 그 "
        "후에 다시 시도해 주세요."
    ),
    (
        "This is more than your quota for today allows. Left of it: {size}. A new day begins at {resets_at}. Try "
        "again then."
    ): (
        "오늘의 저장 한도를 넘습니다. 남은 한도: {size}. 한도는 {resets_at}에 초기화됩니다. 그 후에 다시 시도해 주세요."
    ),
    (
        "This is more than your quota for today allows. Left of it: number of files: {files}. A new day begins "
        "at {resets_at}. Try again then."
    ): (
        "오늘의 저장 한도를 넘습니다. 남은 한도: 파일 수: {files}. 한도는 {resets_at}에 초기화됩니다. 그 후에 "
        "다시 시도해 주세요."
    ),
    (
        "This is more than your quota for all files allows. Left of it: {size}, number of files: {files}. Delete "
        "files that you do not need."
    ): ("전체 저장 한도를 넘습니다. 남은 한도: {size}, 파일 수: {files}. 필요 없는 파일을 삭제해 주세요."),
    "This is more than your quota for all files allows. Left of it: {size}. Delete files that you do not need.": (
        "전체 저장 한도를 넘습니다. 남은 한도: {size}. 필요 없는 파일을 삭제해 주세요."
    ),
    (
        "This is more than your quota for all files allows. Left of it: number of files: {files}. Delete files that "
        "you do not need."
    ): "전체 저장 한도를 넘습니다. 남은 한도: 파일 수: {files}. 필요 없는 파일을 삭제해 주세요.",
    "The store of the rate limits does not answer. Try again in a moment.": (
        "요청 한도 저장소가 응답하지 않습니다. 잠시 후 다시 시도해 주세요."
    ),
    (
        "The purpose {purpose} allows {files} uploads in a day, and you have begun them all. A new day begins at "
        "{resets_at}. Try again then."
    ): (
        "용도 {purpose}에는 하루에 업로드 {files}건이 허용되며, 이미 모두 시작했습니다. 새 날은 {resets_at}에 "
        "시작됩니다. 그때 다시 시도해 주세요."
    ),
    (
        "This service has a check of its own for uploads, which does not answer. Nothing was stored. Try again later."
    ): "이 서비스의 업로드 검사가 응답하지 않습니다. 저장된 것은 없습니다. 나중에 다시 시도해 주세요.",
    "You may not upload files of the type {content_type} here. Choose another file.": (
        "여기에는 {content_type} 형식의 파일을 업로드할 수 없습니다. 다른 파일을 선택해 주세요."
    ),
    "The store of the quotas does not answer. Try again in a moment.": (
        "저장 한도 저장소가 응답하지 않습니다. 잠시 후 다시 시도해 주세요."
    ),
    "The sign-in was declined. Begin again to agree.": ("로그인이 거부되었습니다. 동의하려면 다시 시작해 주세요."),
    "The provider's answer was altered on its way. Begin again.": (
        "인증 서비스의 응답이 전달 중에 변경되었습니다. 다시 시작해 주세요."
    ),
    "This sign-in was begun too long ago, in another browser, or has ended already. Begin it again.": (
        "로그인을 시작한 지 너무 오래되었거나, 다른 브라우저에서 시작했거나, 이미 끝났습니다. 다시 시작해 주세요."
    ),
    ("{stored} arrived where {expected} were announced; they are not kept. Start a new upload with the right size."): (
        "요청한 크기는 {expected}인데 {stored}가 도착해 보관하지 않았습니다. 올바른 크기로 새 업로드를 시작해 주세요."
    ),
    "S3 did not answer in time, so it is not known what is stored. Ask again.": (
        "S3가 제때 응답하지 않아 저장 상태를 알 수 없습니다. 다시 요청해 주세요."
    ),
    "The store does not take what {operation} sends; trying again cannot help. If it knows no x-amz-checksum headers, "
    "the service's operator sets S3_CHECKSUMS=md5.": (
        "저장소가 {operation} 요청을 받아들이지 않아, 다시 시도해도 소용이 없습니다. x-amz-checksum 헤더를 모르는 "
        "저장소라면 운영자가 S3_CHECKSUMS=md5를 설정해야 합니다."
    ),
    "S3 failed at {operation}. Try again in a moment.": (
        "S3가 {operation} 처리에 실패했습니다. 잠시 후 다시 시도해 주세요."
    ),
    "The service's bucket does not exist. Its operator corrects S3_BUCKET_NAME.": (
        "서비스의 버킷이 없습니다. 운영자가 S3_BUCKET_NAME을 고쳐야 합니다."
    ),
    "The bytes of {key} are not those that S3 was given. Try again; if it stays, the object is damaged.": (
        "{key}의 내용이 S3에 저장한 것과 다릅니다. 다시 시도해 주세요. 계속되면 객체가 손상된 것입니다."
    ),
    "The upload's time is over. Start a new one with POST /uploads.": (
        "업로드 시간이 끝났습니다. POST /uploads로 새 업로드를 시작해 주세요."
    ),
    "This is not a ticket of this service. Pass the one you got, unchanged.": (
        "이 서비스의 티켓이 아닙니다. 받은 티켓을 변경하지 말고 그대로 보내 주세요."
    ),
    "This ticket belongs to another key. Send the key that you were given with it.": (
        "이 티켓은 다른 키의 것입니다. 티켓과 함께 받은 키를 보내 주세요."
    ),
    "This is not an access token. Send the access token of your sign-in.": (
        "액세스 토큰이 아닙니다. 로그인에서 받은 액세스 토큰을 보내 주세요."
    ),
    "A time in the token (exp, nbf, iat) is not a number of seconds since 1970. Ask its issuer.": (
        "토큰의 시각(exp, nbf, iat)이 1970년부터 센 초를 나타내는 숫자가 아닙니다. 발급자에서 바로잡아 주세요."
    ),
    "The token's subject is not a user id. Sign in again.": (
        "토큰에 올바른 사용자 id가 없습니다. 다시 로그인해 주세요."
    ),
    "The token was not issued for this service. Sign in again.": (
        "이 서비스용으로 발급된 토큰이 아닙니다. 다시 로그인해 주세요."
    ),
    "The token is not valid yet. Compare the clocks of its issuer and this service.": (
        "아직 유효하지 않은 토큰입니다. 발급자와 이 서비스의 시각을 비교해 주세요."
    ),
    "The Authorization header is not of the form: Bearer <token>.": (
        "Authorization 헤더의 형식이 올바르지 않습니다. 다음 형식이어야 합니다: Bearer <token>."
    ),
    (
        "This service has neither JWT_SECRET nor JWT_JWKS_URL and can verify no token. Leave the Authorization "
        "header out."
    ): (
        "이 서비스에는 JWT_SECRET과 JWT_JWKS_URL이 모두 없어 토큰을 확인할 수 없습니다. Authorization 헤더를 "
        "빼고 보내 주세요."
    ),
    "The token is too long. Sign in again.": ("토큰이 너무 깁니다. 다시 로그인해 주세요."),
    "The token has expired. Sign in again.": ("토큰이 만료되었습니다. 다시 로그인해 주세요."),
    "The token holds characters that no token has. Send it as you got it.": (
        "토큰에 쓸 수 없는 문자가 들어 있습니다. 받은 그대로 보내 주세요."
    ),
    (
        "The keys of the identity provider cannot be had. Try again in a moment; its operator finds the reason "
        "in the log."
    ): (
        "인증 서비스의 키를 가져올 수 없습니다. 잠시 후 다시 시도해 주세요. 운영자는 로그에서 이유를 확인할 수 "
        "있습니다."
    ),
    "This route needs a token. Send it as: Authorization: Bearer <token>.": (
        "이 경로에는 토큰이 필요합니다. 로그인한 뒤 다음 헤더로 보내 주세요: Authorization: Bearer <token>."
    ),
    "Listing and deleting need a token. Send it as: Authorization: Bearer <token>.": (
        "목록 조회와 삭제에는 토큰이 필요합니다. 로그인한 뒤 다음 헤더로 보내 주세요: Authorization: Bearer <token>."
    ),
    "More than {requests} requests in {window_s} s came from this {who}. Wait {wait_s} s, then try again.": (
        "이 {who}에서 {window_s}초 동안 {requests}개가 넘는 요청이 왔습니다. {wait_s}초 기다린 뒤 다시 시도해 주세요."
    ),
    (
        "The service takes no more uploads at the moment. Nothing was stored. Try again in a few seconds, or "
        "send the file to S3 itself."
    ): (
        "지금은 업로드를 더 받을 수 없어 아무것도 저장하지 않았습니다. 몇 초 후에 다시 시도하거나 파일을 S3로 "
        "직접 보내 주세요."
    ),
    ("Files of type {type} end in {extensions}, but this name ends in {found}. Rename the file or correct its type."): (
        "{type} 형식의 파일 확장자는 {extensions}인데, 이 이름은 {found}로 끝납니다. 파일 이름을 바꾸거나 형식을 "
        "고쳐 주세요."
    ),
    "Files of type {type} end in {extensions}, but this name has no extension. Add it and try again.": (
        "{type} 형식의 파일 확장자는 {extensions}인데, 이 이름에는 확장자가 없습니다. 확장자를 붙여 다시 시도해 주세요."
    ),
    "contentType is not a media type. Send one such as image/jpeg.": (
        "contentType이 미디어 형식이 아닙니다. image/jpeg와 같은 형식을 보내 주세요."
    ),
    (
        "The browser knows no type for this file, so its content type is empty. Send application/octet-stream in "
        "its place."
    ): "브라우저가 이 파일의 형식을 알지 못해 형식이 비어 있습니다. 대신 application/octet-stream을 보내 주세요.",
    (
        "The browser knows no type for this file, so its content type is empty. Send the type that the file has; "
        "the purpose {purpose} takes: {types}. For any other file choose a purpose for any type and send "
        "application/octet-stream."
    ): (
        "브라우저가 이 파일의 형식을 알지 못해 형식이 비어 있습니다. 파일의 실제 형식을 보내 주세요. 용도 "
        "{purpose}에 보낼 수 있는 형식: {types}. 다른 파일은 모든 형식을 받는 용도를 선택하고 "
        "application/octet-stream을 보내 주세요."
    ),
    ("The purpose {purpose} does not take {type}. It takes: {types}. Convert the file, or choose another purpose."): (
        "용도 {purpose}에는 {type} 형식을 보낼 수 없습니다. 보낼 수 있는 형식: {types}. 파일을 변환하거나 다른 "
        "용도를 선택해 주세요."
    ),
    (
        "There is no such upload of yours: it was aborted, completed, or cleaned up after a day. Start a new one "
        "with POST /uploads."
    ): (
        "해당 업로드를 찾을 수 없습니다. 취소되었거나, 완료되었거나, 하루가 지나 정리되었습니다. POST /uploads로 "
        "새 업로드를 시작해 주세요."
    ),
    "The upload is finished, and its file stays. Delete it with DELETE /images/{key}.": (
        "업로드가 이미 끝났고 파일은 그대로 있습니다. 파일은 DELETE /images/{key}로 삭제해 주세요."
    ),
    "What arrived is not what was promised: its {fault} differs. It was removed. Start a new upload.": (
        "도착한 파일이 요청한 내용과 다릅니다(다른 점: {fault}). 파일을 삭제했습니다. 새 업로드를 시작해 주세요."
    ),
    "The upload did not end in time. Send the file again, or straight to S3 with the presigned URL.": (
        "업로드가 제시간에 끝나지 않았습니다. 파일을 다시 보내거나, presigned URL을 사용해 S3로 직접 보내 주세요."
    ),
    "The URL has expired. Ask POST /uploads for a new one and send the file again.": (
        "URL의 유효 시간이 지났습니다. POST /uploads로 새 URL을 발급받아 파일을 다시 보내 주세요."
    ),
    "S3 asks to slow down. Wait a little, then send the file again.": (
        "S3가 요청을 줄여 달라고 응답했습니다. 잠시 기다린 뒤 파일을 다시 보내 주세요."
    ),
    (
        "S3 refused the upload ({reason}). If the URL has expired mint a new one; if not, send exactly the type "
        "and length that it was minted for."
    ): (
        "S3가 업로드를 거부했습니다({reason}). URL이 만료되었으면 새로 발급받아 주세요. 아니면 발급받을 때와 "
        "같은 형식과 길이로 보내 주세요."
    ),
    (
        "S3 failed while the file was passing through, and the service keeps no copy of it. Send it again, or "
        "let the service repeat it: POST /upload-with-presigned-retry with max_retries from 1 on."
    ): (
        "파일을 전달하는 중에 S3가 실패했고, 서비스에는 사본이 없습니다. 다시 보내거나, POST "
        "/upload-with-presigned-retry에 1 이상의 max_retries를 보내 서비스가 다시 시도하게 해 주세요."
    ),
    (
        "S3 could not be reached or answered with an error of its own. There was one attempt. Send the file "
        "again, or let the service repeat it: POST /upload-with-presigned-retry with max_retries from 1 on."
    ): (
        "S3에 연결할 수 없거나 S3가 오류로 응답했습니다. 한 번 시도했습니다. 다시 보내거나, POST "
        "/upload-with-presigned-retry에 1 이상의 max_retries를 보내 서비스가 다시 시도하게 해 주세요."
    ),
    (
        "S3 could not be reached or answered with an error of its own, in each of {attempts} attempts. Send the "
        "file again in some minutes."
    ): (
        "S3에 연결할 수 없거나 S3가 오류로 응답했습니다. {attempts}번 모두 실패했습니다. 몇 분 후에 파일을 다시 "
        "보내 주세요."
    ),
    "The upload was cancelled or cleaned up. Start a new one.": (
        "업로드가 취소되었거나 정리되었습니다. 새 업로드를 시작해 주세요."
    ),
    **ACCESS,
    **SOURCES,
    **VERDICTS,
}
