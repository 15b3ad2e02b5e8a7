import re

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from deployments.encryption import encrypt, new_service_token


def form_groups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Documents named groups before there were any. Their members take no requests of them until they are released."""
    services, groups = apps.get_model('deployments', 'Service'), apps.get_model('deployments', 'ServiceGroup')
    taken = set(services.objects.values_list('name', flat=True))
    rows = services.objects.filter(wanted_revision__document__metadata__group__isnull=False)
    for row in rows.select_related('wanted_revision').order_by('created_at', 'pk'):
        name = row.wanted_revision.document['metadata']['group']
        if not isinstance(name, str) or not re.fullmatch(r'[a-z0-9_]{3,63}', name) or name in taken:
            continue
        made = {'workspace_id': row.workspace_id, 'token_encrypted': encrypt(new_service_token())}
        group, _ = groups.objects.get_or_create(name=name, defaults=made)
        if group.workspace_id == row.workspace_id:
            services.objects.filter(pk=row.pk).update(group=group)


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0014_service_groups'),
    ]

    operations = [
        migrations.RunPython(form_groups, migrations.RunPython.noop),
    ]
