"""The guestbook over HTTP."""

from django.http import HttpRequest, JsonResponse

from guestbook.models import Entry


def entries(request: HttpRequest) -> JsonResponse:
    """All entries; POST makes one."""
    if request.method == "POST":
        entry = Entry.objects.create(name=request.POST["name"], words=request.POST["words"])
        return JsonResponse({"id": entry.id}, status=201)
    return JsonResponse({"entries": list(Entry.objects.values("name", "words"))})
