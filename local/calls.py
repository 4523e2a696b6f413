"""What was called, counted without keeping anything personal."""

import hashlib
from collections import Counter, defaultdict


class Calls:
    """Counts calls, and for each distinct POST body the calls and request ids it came with."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str, int | None]] = Counter()
        self._posts: Counter[str] = Counter()
        self._request_ids: defaultdict[str, set[str]] = defaultdict(set)

    def answered(self, method: str, route: str, status: int | None) -> None:
        """Count one call by route template; a status of None means that no answer was given."""
        self._answers[method, route, status] += 1

    def posted(self, path: str, body: bytes, request_id: str) -> None:
        """Count one POST under a digest of where it went and what it said."""
        digest = hashlib.sha256(path.encode() + b"\n" + body).hexdigest()
        self._posts[digest] += 1
        self._request_ids[digest].add(request_id)

    @property
    def document(self) -> dict[str, list[dict[str, object]]]:
        """Both tables, as JSON has them."""
        return {
            "calls": [
                {"method": method, "route": route, "status": status, "count": count}
                for (method, route, status), count in self._answers.items()
            ],
            "bodies": [
                {"sha256": digest, "posts": count, "requestIds": len(self._request_ids[digest])}
                for digest, count in self._posts.items()
            ],
        }
