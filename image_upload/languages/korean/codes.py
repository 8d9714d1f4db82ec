"""Title and meaning of each code, as `GET /errors` shows them."""

from collections.abc import Mapping
from typing import Final

CODES: Final[Mapping[str, tuple[str, str]]] = {
    "validation-failed": ("입력값 오류", "필드가 없거나 형식이 잘못되었습니다. `errors`에서 필드별 이유를 확인하세요."),
    "not-found": ("찾을 수 없음", "해당 경로나 자료가 없습니다. `/docs`의 경로와 비교해 보세요."),
    "method-not-allowed": (
        "허용되지 않는 메서드",
        "경로는 있지만 이 메서드를 쓸 수 없습니다. `Allow` 헤더를 확인하세요.",
    ),
    "invalid-upload-header": (
        "업로드 헤더가 올바르지 않음",
        "이어 올리기 요청의 헤더가 없거나 프로토콜에 맞지 않습니다. 변경된 것은 없습니다. 클라이언트를 수정하세요.",
    ),
    "upload-protocol-unknown": (
        "알 수 없는 업로드 프로토콜",
        "`/resumable` 요청이 tus나 IETF 프로토콜이 아닙니다. `Tus-Resumable`이나 `Upload-Complete`를 보내세요.",
    ),
    "unsupported-content-type": (
        "지원하지 않는 Content-Type",
        "이어 올리기의 데이터가 프로토콜이 요구하는 Content-Type으로 오지 않았습니다. 저장된 것은 없습니다.",
    ),
    "invalid-idempotency-key": (
        "잘못된 Idempotency-Key",
        "`Idempotency-Key`는 1~255자의 문자열 하나여야 합니다. 업로드마다 새 UUID를, 재시도에는 같은 값을 보내세요.",
    ),
    "idempotency-key-reused": (
        "다른 요청에 쓰인 Idempotency-Key",
        "같은 `Idempotency-Key`가 다른 내용의 요청에 이미 쓰였습니다. 새 요청에는 새 키를 보내세요.",
    ),
    "idempotency-not-configured": (
        "Idempotency-Key가 설정되지 않음",
        "`Idempotency-Key`에 필요한 `JWT_SECRET`이 없습니다. 운영자가 설정할 때까지 이 헤더 없이 보내세요.",
    ),
    "body-too-large": (
        "요청 본문이 너무 큼",
        "이 경로가 받는 크기(`max_bytes`)를 넘었습니다. `POST /uploads`로 URL을 발급받아 S3로 직접 보내세요.",
    ),
    "malformed-request": (
        "잘못된 형식의 요청",
        "HTTP/1.1 요청이 아닙니다. 문법을 고쳐 새 연결에서 보내세요.",
    ),
    "head-too-large": (
        "요청 헤더가 너무 큼",
        "경로, 쿼리, 헤더를 합친 크기가 한도(`max_bytes`)를 넘거나 헤더가 너무 많습니다. 줄이거나 본문에 넣으세요.",
    ),
    "too-many-connections": (
        "연결이 너무 많음",
        "지금은 연결을 더 받을 수 없습니다. `Retry-After`초 후에 다시 시도하세요.",
    ),
    "edge-required": (
        "공개 주소를 거치지 않음",
        "이 서비스는 앞단(CDN, 방화벽, 프록시)을 거친 요청만 받습니다. 서비스의 공개 주소로 보내세요.",
    ),
    "token-missing": ("로그인 필요", "`Authorization: Bearer <token>` 헤더가 필요한 경로입니다."),
    "token-invalid": (
        "사용할 수 없는 토큰",
        "토큰이 위조되었거나 만료되었거나 다른 서비스용입니다. 다시 로그인하세요.",
    ),
    "scope-missing": (
        "권한 범위 부족",
        (
            "업로드에만 쓸 수 있는 토큰이거나, 용도에 필요한 범위가 없는 토큰입니다. "
            "`mint` 범위가 없는 사용자 토큰이나 용도의 범위가 있는 토큰을 사용하세요."
        ),
    ),
    "token-keys-unavailable": (
        "토큰 검증 키를 가져올 수 없음",
        "인증 서비스의 키를 가져오지 못해 토큰을 확인할 수 없습니다. 잠시 후 다시 시도하세요.",
    ),
    "sign-in-not-configured": (
        "로그인이 설정되지 않음",
        "이 로그인 방식이 설정되어 있지 않습니다. 운영자는 docs/sign-in.md를 참고하세요.",
    ),
    "sign-in-expired": (
        "로그인 시간 만료",
        "로그인을 시작한 지 10분이 지났거나, 다른 브라우저에서 시작했거나, 이미 끝났습니다. 다시 로그인하세요.",
    ),
    "sign-in-denied": ("로그인 거부됨", "사용자나 인증 서비스가 동의하지 않았습니다. 동의하려면 다시 시작하세요."),
    "identity-refused": (
        "사용자 정보를 신뢰할 수 없음",
        "인증 서비스가 보낸 사용자 정보가 위조되었거나 오래되었거나 다른 서비스용입니다. 다시 로그인하세요.",
    ),
    "provider-failed": (
        "인증 서비스 오류",
        "인증 서비스가 올바르게 응답하지 않습니다. 다시 시도하세요. 운영자는 로그에서 이유를 확인할 수 있습니다.",
    ),
    "grant-refused": (
        "사용할 수 없는 코드",
        "코드나 갱신 토큰이 이미 사용되었거나 만료되었거나 잘못되었습니다(`invalid_grant`). 다시 로그인하세요.",
    ),
    "too-many-requests": (
        "요청이 너무 많음",
        "사용자나 주소의 요청 한도(`policy`)를 넘었습니다. `Retry-After`초 후에 다시 시도하세요.",
    ),
    "quota-exceeded": (
        "저장 한도 초과",
        "한도를 넘었습니다(`left_bytes`, `left_files`, null은 제한 없음). `resets_at`까지 기다리거나 파일을 지우세요.",
    ),
    "rate-limit-unavailable": (
        "요청 한도를 확인할 수 없음",
        "요청 수와 저장량을 기록하는 저장소가 응답하지 않습니다. 잠시 후 다시 시도하세요.",
    ),
    "upload-refused": (
        "업로드 거부됨",
        "운영자의 업로드 검사(`AUTHORIZE`)가 이 업로드를 허용하지 않습니다. 설명을 따르거나 운영자에게 문의하세요.",
    ),
    "authorization-unavailable": (
        "업로드 검사를 사용할 수 없음",
        (
            "운영자의 업로드 검사(`AUTHORIZE`)가 실패했거나 제때 응답하지 않았습니다. 저장된 것은 없습니다. "
            "나중에 다시 시도하세요."
        ),
    ),
    "file-too-large": (
        "파일이 너무 큼",
        "파일이 용도의 한도(`max_bytes`)보다 큽니다. 크기를 줄이거나 다른 용도를 선택하세요.",
    ),
    "unsupported-file-type": (
        "지원하지 않는 파일 형식",
        "용도에 맞지 않는 형식이거나(`allowed`), 형식과 확장자가 서로 다릅니다.",
    ),
    "invalid-filename": (
        "잘못된 파일 이름",
        "이름에 경로나 제어 문자가 있거나 이름이 너무 깁니다. 파일 이름만 보내세요.",
    ),
    "invalid-metadata": (
        "잘못된 메타데이터",
        "S3에 저장할 수 없습니다. 너무 크거나(`max_bytes`), 제어 문자나 잘못된 이름이 있거나, `class_id`가 없습니다.",
    ),
    "invalid-key": (
        "잘못된 객체 키",
        "객체 키가 비어 있거나, 너무 길거나, `..`로 상위 경로를 가리키거나, 제어 문자가 있습니다.",
    ),
    "no-strategy": (
        "가능한 업로드 방식 없음",
        "`accepts`의 방식으로는 이 파일을 보낼 수 없습니다. 가능한 방식은 `possible`에 있습니다.",
    ),
    "batch-refused": (
        "일괄 요청 거부됨",
        "허용되지 않는 파일이 있어 아무것도 발급하지 않았습니다. `errors`에 파일별 이유가 있습니다.",
    ),
    "job-missing": (
        "작업 없음",
        "이 ID의 내 작업이 없습니다. 다른 사용자의 작업이거나 일주일 넘게 지났습니다. 받은 `job_id`와 비교해 보세요.",
    ),
    "job-over": (
        "이미 끝난 작업",
        "작업이 다른 결과로 이미 끝났습니다. 처음 결과가 유지됩니다. 같은 메시지가 두 번 오면 두 번째는 버리세요.",
    ),
    "queue-not-configured": (
        "큐가 설정되지 않음",
        "작업자에게 일을 넘기는 경로인데 서비스에 큐가 없습니다. 운영자가 `QUEUE_URL`을 설정해야 합니다(docs/jobs.md).",
    ),
    "queue-unavailable": (
        "큐를 사용할 수 없음",
        "작업자 큐가 메시지를 받지 않습니다. 파일은 저장되어 있습니다. `Retry-After`초 후에 다시 보내세요.",
    ),
    "source-url-invalid": (
        "잘못된 원본 URL",
        "`url`이 가져올 수 있는 파일의 URL이 아닙니다. `https://`로 시작하는 파일 주소를 복사해 보내세요.",
    ),
    "source-url-refused": (
        "가져올 수 없는 URL",
        (
            "https가 아니거나, 사용자 정보나 포트가 있거나, 공개되지 않은 주소이거나, 가져오기가 꺼져 있습니다. 공개 "
            "서버의 https URL을 보내세요. 운영자는 `FROM_URL`과 `FROM_URL_PRIVATE_HOSTS`를 설정합니다."
        ),
    ),
    "source-refused": (
        "원본 서버가 파일을 주지 않음",
        (
            "원본 서버가 200이 아닌 응답(`upstream_status`)을 보냈거나, 너무 많이 리디렉션하거나, 압축해서 보냅니다. "
            "저장된 것은 없습니다. 로그인하지 않은 브라우저에서 URL을 열어 파일이 보이는지 확인하세요."
        ),
    ),
    "source-unavailable": (
        "원본 서버에 연결할 수 없음",
        "원본 서버에 연결할 수 없거나, 5xx(`upstream_status`)로 응답했거나, 끊어졌습니다. 나중에 다시 시도하세요.",
    ),
    "source-timed-out": (
        "원본 서버가 너무 느림",
        "원본 서버가 너무 느리거나 가져오는 시간이 초과되었습니다. 나중에 다시 시도하거나 파일을 직접 보내세요.",
    ),
    "job-not-started": (
        "작업을 시작하지 못함",
        (
            "작업을 처리할 프로세스에 넘기지 못했습니다(`upstream_status`). 다시 시도하세요. 운영자는 함수 자신에 대한 "
            "`lambda:InvokeFunction`을 허용합니다."
        ),
    ),
    "ticket-invalid": (
        "잘못된 티켓",
        "티켓이 변경되었거나 이 서비스의 것이 아닙니다. 받은 티켓을 그대로 보내세요.",
    ),
    "ticket-expired": ("티켓 만료", "업로드 시간이 끝났습니다. `POST /uploads`로 다시 시작하세요."),
    "tickets-not-configured": (
        "멀티파트 업로드가 설정되지 않음",
        "티켓에 서명할 비밀 키가 없습니다. 운영자가 `JWT_SECRET`을 설정해야 합니다.",
    ),
    "upload-not-found": (
        "업로드를 찾을 수 없음",
        "해당 업로드가 없습니다. 취소되었거나, 오래전에 완료되었거나, 정리되었습니다. 새로 시작하세요.",
    ),
    "object-missing": (
        "파일을 찾을 수 없음",
        "해당 객체가 없습니다. 받은 `objectKey` 또는 `key`와 비교해 보세요.",
    ),
    "parts-invalid": (
        "잘못된 파트",
        "파트 번호가 잘못되었거나 중복되거나 빠졌거나, ETag가 잘못되었거나, 요청한 URL이 너무 많습니다(`max_parts`).",
    ),
    "parts-refused": (
        "S3가 파트를 거부함",
        "S3에 있는 파트와 다릅니다(`upstream_code`). `GET /uploads/{ticket}`으로 확인하세요.",
    ),
    "size-mismatch": (
        "크기 불일치",
        "저장된 객체의 크기가 요청한 크기와 달라(`expected_bytes`, `stored_bytes`) 삭제했습니다.",
    ),
    "offset-mismatch": (
        "오프셋이 다름",
        "업로드의 끝에서 시작하지 않는 요청입니다(`expected_offset`, `provided_offset`). 오프셋을 확인하세요.",
    ),
    "length-changed": (
        "길이가 바뀜",
        "업로드의 길이가 이미 정해졌거나(`length`), 보낸 내용이 그 길이와 다릅니다. 새 업로드를 시작하세요.",
    ),
    "length-exceeded": (
        "길이를 넘음",
        "보낸 내용이 업로드의 길이(`length`)를 넘습니다. 남은 만큼만 보내거나 새 업로드를 시작하세요.",
    ),
    "final-upload": (
        "이어 붙인 업로드",
        "부분 업로드를 이어 붙인 업로드에는 바이트를 추가할 수 없습니다. 새 업로드를 시작하세요.",
    ),
    "append-too-large": (
        "추가 요청이 너무 큼",
        "추가 요청 하나는 `max_append_bytes`까지 보낼 수 있습니다. 같은 내용을 여러 번에 나누어 보내세요.",
    ),
    "checksum-mismatch": (
        "체크섬이 다름",
        "보낸 바이트가 체크섬과 다릅니다. 저장된 것은 없습니다. 다시 보내세요.",
    ),
    "upload-gone": (
        "업로드가 없어짐",
        "업로드가 취소되었거나 정리되었습니다. 새 업로드를 시작하세요.",
    ),
    "upload-busy": (
        "업로드가 처리 중임",
        "같은 업로드의 다른 요청이 처리 중입니다. `Retry-After`초 후에 오프셋을 물어보세요.",
    ),
    "concatenation-invalid": (
        "잘못된 이어 붙이기",
        "부분 업로드가 아니거나, 끝나지 않았거나, 너무 많습니다(`max_partials`). 모두 끝낸 뒤 다시 보내세요.",
    ),
    "not-arrived": (
        "아직 도착하지 않음",
        "기록은 있지만 S3에 객체가 없거나 아직 검사 중입니다(`state`). 파일을 보낸 뒤 완료하거나, 다시 요청하세요.",
    ),
    "upload-rejected": (
        "업로드 거부됨",
        "도착한 파일이 요청한 내용과 달라(`fault`: size, type, checksum) 보관하지 않습니다. 새로 시작하세요.",
    ),
    "already-exists": (
        "이미 있는 객체",
        "이 키의 객체가 이미 있으며, 덮어쓰지 않는 조건으로 발급된 업로드입니다. 재시도였다면 저장된 것입니다.",
    ),
    "not-a-form": (
        "폼이 아님",
        "본문이 `multipart/form-data`가 아닙니다. 브라우저에서는 `FormData`를 보내고 Content-Type은 지정하지 마세요.",
    ),
    "malformed-form": (
        "잘못된 폼",
        "폼이 깨졌거나, 중간에 끊겼거나, 필드가 중복되거나, 파트나 헤더가 너무 많습니다.",
    ),
    "chunks-not-supported": (
        "분할 전송은 지원하지 않습니다",
        "파일의 한 조각만 담은 폼이어서 저장하지 않았습니다. 분할 전송을 끄거나 멀티파트 업로드를 사용하세요.",
    ),
    "empty-file": ("빈 파일", "파일에 내용이 없어 아무것도 저장하지 않았습니다. 내용이 있는 파일을 선택하세요."),
    "upload-url-invalid": (
        "잘못된 업로드 URL",
        "`uploadUrl`이 S3용 presigned PUT URL이 아닙니다. `POST /uploads`의 `presignedUrl`을 그대로 보내세요.",
    ),
    "upload-url-expired": ("업로드 URL 만료", "presigned URL의 유효 시간이 지났습니다. 새로 발급받으세요."),
    "upload-url-needs-headers": (
        "헤더가 더 필요한 업로드 URL",
        "폼으로 전달할 수 없는 헤더가 서명된 URL입니다(`signed_headers`). 파일을 S3로 직접 보내세요.",
    ),
    "upload-target-refused": (
        "허용되지 않는 업로드 대상",
        "이 서비스가 보내지 않는 호스트나 버킷입니다(PROXY_ALLOWED_BUCKETS, PROXY_ALLOWED_HOSTS).",
    ),
    "upstream-refused": (
        "S3가 업로드를 거부함",
        "S3가 업로드를 거부했습니다(`upstream_status`, `upstream_code`). 만료되었거나 서명된 내용과 다릅니다.",
    ),
    "upstream-redirected": (
        "리디렉션을 따르지 않음",
        "저장소가 리디렉션으로 응답했습니다(`upstream_status`). 버킷의 리전 호스트로 서명하세요.",
    ),
    "upstream-unavailable": (
        "S3를 사용할 수 없음",
        "S3가 마지막까지 5xx로 응답하거나 응답하지 않았습니다(`upstream_status`, `attempts`). 나중에 다시 보내세요.",
    ),
    "outcome-unknown": (
        "결과를 알 수 없음",
        "마지막 바이트를 보낸 뒤 S3와의 연결이 끊겼습니다. 저장되었을 수 있으니 다시 보내기 전에 확인하세요.",
    ),
    "client-too-slow": (
        "전송이 너무 느림",
        "요청이 너무 느리게 도착하거나 더 이상 도착하지 않습니다. 더 빠른 연결에서 다시 보내세요.",
    ),
    "too-many-uploads": (
        "업로드가 너무 많음",
        "지금은 업로드를 더 받을 수 없습니다. `Retry-After`초 후에 다시 시도하세요.",
    ),
    "verification-unavailable": (
        "파일을 검사할 수 없음",
        "지금은 파일을 검사할 수 없습니다. 받은 파일은 그대로 보관됩니다. `Retry-After`초 후에 다시 시도하세요.",
    ),
    "upload-timed-out": (
        "업로드 시간 초과",
        "업로드 전체에 주어진 시간(TIMEOUT_SECONDS, Lambda 제한)이 끝났습니다. 큰 파일은 S3로 직접 보내세요.",
    ),
    "storage-denied": (
        "S3 권한 부족",
        "S3가 거부했습니다(`upstream_code`). 운영자가 권한(`action`)을 주거나 시계(`clock_off_s`)를 맞춰야 합니다.",
    ),
    "storage-unavailable": (
        "S3를 사용할 수 없음",
        "S3가 실패했거나 응답하지 않았습니다(`upstream_status`, `upstream_code`). 잠시 후 다시 시도하세요.",
    ),
    "storage-timed-out": (
        "S3 응답 시간 초과",
        "S3가 제때 응답하지 않아 처리 여부를 알 수 없습니다. 다시 요청하세요.",
    ),
    "database-not-configured": (
        "데이터베이스 없음",
        "데이터베이스가 필요한 경로입니다. 운영자가 `DATABASE_URL`을 설정해야 합니다.",
    ),
    "database-unavailable": (
        "데이터베이스를 사용할 수 없음",
        "데이터베이스가 응답하지 않거나 느리거나 준비되지 않았습니다. `Retry-After`초 후에 다시 시도하세요.",
    ),
    "credentials-unavailable": (
        "서명할 수 없음",
        "서비스에 AWS 자격 증명이 없습니다. 운영자는 로그에서 이유를 확인할 수 있습니다.",
    ),
    "internal-error": (
        "내부 오류",
        "서비스 내부 오류입니다. `request_id`를 알려 주세요. 해당 요청의 로그에 자세한 내용이 있습니다.",
    ),
}
