"""The editor's own words: CodeMirror's phrases by its English ones, and ours by a key (console.md §4 "Editor")."""

from __future__ import annotations

from django.utils.translation import gettext as _


def editor_words() -> dict[str, dict[str, str]]:
    """For ``EditorState.phrases`` and for the completion, in the reader's language."""
    return {
        "phrases": {
            "Control character": _("Control character"),
            "Completions": _("Completions"),
            "Diagnostics": _("Errors"),
            "No diagnostics": _("No errors"),
            "close": _("Close"),
            "Find": _("Find"),
            "Replace": _("Replace"),
            "next": _("Next"),
            "previous": _("Previous"),
            "all": _("All"),
            "match case": _("Match case"),
            "regexp": _("Regular expression"),
            "by word": _("Whole words"),
            "replace": _("Replace"),
            "replace all": _("Replace all"),
            "current match": _("Current match"),
            "on line": _("on line"),
            "replaced match on line $": _("Replaced on line $"),
            "replaced $ matches": _("Replaced: $"),
            "Go to line": _("Go to line"),
            "go": _("Go"),
            "Selection deleted": _("Selection deleted"),
        },
        "own": {
            "kept": _("does nothing here"),
            "required": _("required"),
            "default": _("default"),
        },
    }
