"""What this process has answered, in plain counters: bumped as accounts close, read by whoever writes it down.

Labels are bounded: services that exist, OpenTelemetry's operations, statuses and the codes below, nothing that a caller
wrote. Opening and closing an account cost 2 µs together (CPython 3.11, one core of a busy server), a token nothing.
"""

from __future__ import annotations

from inference_gateway.accounts import FAILED, FINISHED, REFUSED, Account
from inference_gateway.directory import ServiceEntry
from inference_gateway.histograms import TOKEN_BOUNDS, Histogram
from inference_gateway.monitoring.measures import BOUNDS, CODE, Measures

#: Where an instance or the way to it failed. Another code among failures is counted as ``other``.
UPSTREAM_CODES = frozenset(
    {
        "cluster_refuses",
        "engine_busy",
        "engine_down",
        "engine_error",
        "engine_stream_broken",
        "engine_timeout",
        "engine_unavailable",
        "engine_unreachable",
        "handshake_refused",
        "instance_broke_off",
        "request_timeout",
    }
)


class Tally:
    """One operation of one service, since the first process of this slot began (see ``shared``)."""

    __slots__ = (
        "codes",
        "completion_sizes",
        "completion_tokens",
        "duration",
        "each_token",
        "endings",
        "errors",
        "first_token",
        "in_flight",
        "name",
        "operation",
        "prompt_sizes",
        "prompt_tokens",
        "uid",
    )  # fmt: skip

    def __init__(self, uid: str, name: str, operation: str) -> None:
        self.uid = uid
        self.name = name
        self.operation = operation
        self.in_flight = 0
        self.codes: dict[int, int] = {}
        self.errors: dict[str, int] = {}
        self.endings: dict[str, int] = {}
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.prompt_sizes = Histogram(TOKEN_BOUNDS)
        self.completion_sizes = Histogram(TOKEN_BOUNDS)
        self.first_token = Histogram(BOUNDS["first_token"])
        self.each_token = Histogram(BOUNDS["each_token"])
        self.duration = Histogram(BOUNDS["duration"])

    def close(self, account: Account) -> None:
        """Count a request that has ended."""
        self.in_flight -= 1
        status, ending = account.status, account.ending
        if ending is FAILED and status < 400:
            status = 500  # its head had gone out as a success
        self.codes[status] = self.codes.get(status, 0) + 1
        if ending is not None:
            self.endings[ending] = self.endings.get(ending, 0) + 1
        if ending is REFUSED or ending is FAILED:
            code = account.error_code
            # The last of the instances that there were did not take it.
            is_last = code == "no_healthy_upstream" and bool(account.service.routes)
            self._fail("engine_unreachable" if is_last else code, status)
            if ending is REFUSED:
                return
        first_at, ended_at = account.first_token_at, account.ended_at
        self.duration.observe(ended_at - account.began_at)
        prompt, completion = account.used
        if prompt:
            self.prompt_tokens += prompt
            self.prompt_sizes.observe(prompt)
        if completion:
            self.completion_tokens += completion
            self.completion_sizes.observe(completion)
        # Of an answer at once nobody knows when its first token was there.
        if first_at is not None and account.is_stream:
            self.first_token.observe(first_at - account.began_at)
            if completion > 1 and ending is FINISHED:
                self.each_token.observe((ended_at - first_at) / (completion - 1))

    def _fail(self, code: str, status: int) -> None:
        if code in UPSTREAM_CODES:
            self.errors[code] = self.errors.get(code, 0) + 1
        elif status in (500, 502, 504):
            self.errors["other"] = self.errors.get("other", 0) + 1

    def measure(self) -> Measures:
        """Everything that only grows, as the Monitoring page's rows have it."""
        measures = Measures()
        for status, count in self.codes.items():
            measures.counts[f"{CODE}{status}"] = count
        for name, value in (
            ("prompt_tokens", self.prompt_tokens),
            ("completion_tokens", self.completion_tokens),
            ("upstream_errors", sum(self.errors.values())),
        ):
            if value:
                measures.counts[name] = value
        for name in BOUNDS:
            histogram: Histogram = getattr(self, name)
            measures.histograms[name] = [*histogram.counts, histogram.total]
        return measures


class Traffic:
    """One a process: a listener of accounts, and what else the gateway answers."""

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.by_service: dict[str, list[Tally]] = {}
        #: Services with anything new since whoever writes it down cleared this.
        self.touched: set[str] = set()
        #: Goes up with every change.
        self.version = 0

    def opened(self, account: Account) -> None:
        self.version += 1
        self._find(account).in_flight += 1

    def closed(self, account: Account) -> None:
        self.version += 1
        self.touched.add(account.service.uid)
        self._find(account).close(account)

    def refused(self, service: ServiceEntry | None, operation: str, status: int) -> None:
        """A request that never came to an account: what callers who were not let in asked for stands under no name,
        for what they write must not become a label.
        """
        uid, name = (service.uid, service.name) if service is not None else ("", "")
        tally = self.find(uid, name, operation if service is not None else "")
        tally.codes[status] = tally.codes.get(status, 0) + 1
        self.version += 1
        self.touched.add(uid)

    def measure(self, uid: str) -> Measures:
        """Everything of a service that only grows, its operations together."""
        measures = Measures()
        for tally in self.by_service.get(uid, ()):
            measures.add(tally.measure())
        return measures

    def find(self, uid: str, name: str, operation: str) -> Tally:
        tally = self.tallies.get((uid, operation))
        if tally is None:
            tally = self.tallies[uid, operation] = Tally(uid, name, operation)
            self.by_service.setdefault(uid, []).append(tally)
        return tally

    def _find(self, account: Account) -> Tally:
        service, operation = account.service, account.operation
        return self.tallies.get((service.uid, operation)) or self.find(service.uid, service.name, operation)

    def forget(self, known: frozenset[str]) -> None:
        """Drop what is idle and of no service any more."""
        for uid, tallies in list(self.by_service.items()):
            if uid and uid not in known and not any(tally.in_flight for tally in tallies):
                del self.by_service[uid]
                for tally in tallies:
                    del self.tallies[uid, tally.operation]
