"""Details of what the service asks of those in front of it: the edge, and Prometheus. `details` has the others."""

from collections.abc import Mapping
from typing import Final

ACCESS: Final[Mapping[str, str]] = {
    "This address answers only what comes through the edge in front of it. Use the service's public address. "
    "If you are its operator, let the edge send EDGE_SECRET in the header X-Edge-Secret.": (
        "이 주소는 앞단(CDN, 방화벽)을 거친 요청에만 응답합니다. 서비스의 공개 주소를 사용해 주세요. 운영자라면 앞단이 "
        "X-Edge-Secret 헤더로 EDGE_SECRET을 보내도록 설정해 주세요."
    ),
    "This route needs METRICS_TOKEN. Send it as: Authorization: Bearer <token>.": (
        "이 경로에는 METRICS_TOKEN이 필요합니다. Authorization: Bearer <token> 헤더로 보내 주세요."
    ),
    "This is not METRICS_TOKEN. Its operator sets it where Prometheus is configured.": (
        "METRICS_TOKEN과 다릅니다. 운영자가 Prometheus 설정에서 값을 지정해야 합니다."
    ),
}
