"""SeqScale's live view as a Snakemake logger plugin: `snakemake --logger seqscale`.

On a terminal: a display of what is running, its step, loss and time left, redrawn in place. In a pipe or a log: plain
lines. Snakemake's own messages and errors come through as they are, except that jobs are not told one by one.
"""

from logging import LogRecord
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# what the view shows in its own way
_SHOWN = {
    LogEvent.RUN_INFO,
    LogEvent.JOB_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.JOB_ERROR,
    LogEvent.PROGRESS,
    LogEvent.SHELLCMD,
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RESOURCES_INFO,
}
_IDLE_TALK = ("Building DAG", "Using shell", "Assuming unrestricted", "Select jobs", "Conda environments: ignored")


class LogHandler(LogHandlerBase):
    """Turns Snakemake's log records into a ledger of jobs."""

    def __post_init__(self) -> None:
        # here: Snakemake imports every plugin that it finds, and a workflow must load the library of its own checkout
        from seqscale.progress import Job, make_view

        self._view, self._job = make_view(), Job
        self._plain: Any = None

    def emit(self, record: LogRecord) -> None:
        try:
            if self.common_settings.dryrun:
                self._as_snakemake_would(record)
            else:
                self._take(record)
        except Exception:
            self.handleError(record)

    def _as_snakemake_would(self, record: LogRecord) -> None:
        """A dry run is read, not watched: every record in Snakemake's own words."""
        if self._plain is None:
            from snakemake.logging import DefaultFilter

            s = self.common_settings
            self._plain = DefaultFilter(s.quiet, s.debug_dag, s.verbose, s.dryrun, s.printshellcmds)  # type: ignore[arg-type]
        if self._plain.filter(record) and (text := self.format(record)):
            self._view.say(text)

    def _take(self, record: LogRecord) -> None:
        event, r = getattr(record, "event", None), record.__dict__
        ledger = self._view.ledger
        if event == LogEvent.RUN_INFO:
            ledger.plan(r["stats"])
        elif event == LogEvent.JOB_INFO:
            wildcards = {str(key): str(value) for key, value in (r["wildcards"] or {}).items()}
            if r["rule_name"] != "all":
                ledger.start(r["jobid"], self._job(r["rule_name"], wildcards, next(iter(r["log"]), "")))
        elif event == LogEvent.JOB_FINISHED:
            ledger.finish(r["job_id"])
        elif event == LogEvent.JOB_ERROR:
            job = ledger.fail(r["jobid"])
            if job is not None:
                self._view.failed(job)
        elif event not in _SHOWN:
            text = self.format(record)
            told = "returned non-zero exit status" in text and "Command " in text  # told as a failed job, with its log
            if text.strip() and not told and not text.startswith(_IDLE_TALK):
                self._view.say(text)
            return
        self._view.changed()

    def close(self) -> None:
        self._view.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True  # everything is wanted, whatever --quiet says: jobs are counted, not printed

    @property
    def has_formatter(self) -> bool:
        return False

    @property
    def needs_rulegraph(self) -> bool:
        return False
