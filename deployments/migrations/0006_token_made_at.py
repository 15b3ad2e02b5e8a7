import django.utils.timezone
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import F, Max


def fill_in(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """A token is as old as its service, or as its last rotation, where that event is still kept."""
    services, events = apps.get_model("deployments", "Service"), apps.get_model("deployments", "ServiceEvent")
    services.objects.update(token_made_at=F("created_at"))
    rotated = events.objects.filter(code="TokenRotated").order_by().values_list("service").annotate(at=Max("created_at"))
    for service_id, at in rotated:
        services.objects.filter(pk=service_id).update(token_made_at=at)


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0005_happenings'),
    ]

    operations = [
        migrations.AddField(
            model_name='service',
            name='token_made_at',
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddIndex(
            model_name='startstep',
            index=models.Index(fields=['ended_at'], name='deployments_ended_a_fef867_idx'),
        ),
        migrations.RunPython(fill_in, migrations.RunPython.noop),
    ]
