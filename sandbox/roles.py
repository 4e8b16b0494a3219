"""Built-in role definitions that clients of the sandbox use, with Azure's GUIDs and actions.

Source: Azure built-in roles (Microsoft Learn, "Azure built-in roles"), reduced to the actions that the sandbox uses.
"""

from __future__ import annotations

from sandbox.core.rbac import RoleDefinition

BUILT_IN = (
    RoleDefinition(guid="8e3af657-a8ff-443c-a75c-2fe8c4bcb635", name="Owner", actions=("*",)),
    RoleDefinition(
        guid="b24988ac-6180-42a0-ab88-20f7382dd24c",
        name="Contributor",
        actions=("*",),
        not_actions=(
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ),
    ),
    RoleDefinition(guid="acdd72a7-3385-48ef-bd42-f606fba81ae7", name="Reader", actions=("*/read",)),
    RoleDefinition(
        guid="18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        name="User Access Administrator",
        actions=("*/read", "Microsoft.Authorization/*"),
    ),
    RoleDefinition(
        guid="f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        name="Role Based Access Control Administrator",
        actions=(
            "*/read",
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
        ),
    ),
    RoleDefinition(
        guid="4d97b98b-1d4f-4787-a291-c67834d212e7",
        name="Network Contributor",
        actions=("Microsoft.Network/*", "*/read"),
    ),
    RoleDefinition(
        guid="39bc4728-0917-49c7-9d2c-d95423bc2eb4",
        name="Security Reader",
        actions=(
            "Microsoft.Authorization/*/read",
            "Microsoft.Security/*/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/deployments/*/read",
            "Microsoft.ResourceGraph/resources/read",
            "Microsoft.Resources/subscriptions/read",
        ),
    ),
    RoleDefinition(
        guid="43d0d8ad-25c7-4714-9337-8ba259a9fe05",
        name="Monitoring Reader",
        actions=("*/read", "Microsoft.OperationalInsights/workspaces/search/action"),
    ),
    RoleDefinition(
        guid="749f88d5-cbae-40b8-bcfc-e573ddc772fa",
        name="Monitoring Contributor",
        actions=(
            "*/read",
            "Microsoft.AlertsManagement/alerts/*",
            "Microsoft.Insights/diagnosticSettings/*",
            "Microsoft.Insights/scheduledqueryrules/*",
            "Microsoft.OperationalInsights/workspaces/search/action",
        ),
    ),
    RoleDefinition(
        guid="73c42c96-874c-492b-b04d-ab87d138a893",
        name="Log Analytics Reader",
        actions=(
            "*/read",
            "Microsoft.OperationalInsights/workspaces/analytics/query/action",
            "Microsoft.OperationalInsights/workspaces/search/action",
        ),
        not_actions=("Microsoft.OperationalInsights/workspaces/sharedKeys/read",),
    ),
    RoleDefinition(
        guid="a4417e6f-fecd-4de8-b567-7b0420556985",
        name="Key Vault Certificates Officer",
        actions=("Microsoft.KeyVault/*/read", "Microsoft.Authorization/*/read"),
        data_actions=(
            "Microsoft.KeyVault/vaults/certificatecas/*",
            "Microsoft.KeyVault/vaults/certificates/*",
            "Microsoft.KeyVault/vaults/certificatecontacts/write",
        ),
    ),
    RoleDefinition(
        guid="4633458b-17de-408a-b874-0445c86b69e6",
        name="Key Vault Secrets User",
        data_actions=(
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ),
    ),
    RoleDefinition(
        guid="21090545-7ca7-4776-b22c-e363652d74d2",
        name="Key Vault Reader",
        actions=("Microsoft.KeyVault/*/read", "Microsoft.Authorization/*/read"),
        data_actions=(
            "Microsoft.KeyVault/vaults/*/read",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ),
    ),
    RoleDefinition(
        guid="db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
        name="Key Vault Certificate User",
        data_actions=(
            "Microsoft.KeyVault/vaults/certificates/read",
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ),
    ),
    RoleDefinition(
        guid="00482a5a-887f-4fb3-b363-3b7fe8e74483",
        name="Key Vault Administrator",
        actions=("Microsoft.KeyVault/*/read", "Microsoft.Authorization/*/read"),
        data_actions=("Microsoft.KeyVault/vaults/*",),
    ),
    RoleDefinition(
        guid="7f951dda-4ed3-4680-a7ca-43fe172d538d",
        name="AcrPull",
        actions=("Microsoft.ContainerRegistry/registries/pull/read",),
    ),
    RoleDefinition(
        guid="8311e382-0749-4cb8-b61a-304f252e45ec",
        name="AcrPush",
        actions=(
            "Microsoft.ContainerRegistry/registries/pull/read",
            "Microsoft.ContainerRegistry/registries/push/write",
        ),
    ),
    RoleDefinition(
        guid="c2f4ef07-c644-48eb-af81-4b1b4947fb11",
        name="AcrDelete",
        actions=("Microsoft.ContainerRegistry/registries/artifacts/delete",),
    ),
    RoleDefinition(
        guid="ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        name="Storage Blob Data Contributor",
        actions=(
            "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
        ),
        data_actions=(
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
        ),
    ),
    RoleDefinition(
        guid="2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        name="Storage Blob Data Reader",
        actions=("Microsoft.Storage/storageAccounts/blobServices/containers/read",),
        data_actions=("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",),
    ),
    RoleDefinition(
        guid="577a9874-89fd-4f24-9dbd-b5034d0ad23a",
        name="Container Registry Data Importer and Data Reader",
        actions=(
            "Microsoft.ContainerRegistry/registries/read",
            "Microsoft.ContainerRegistry/registries/importImage/action",
            "Microsoft.ContainerRegistry/registries/pull/read",
        ),
        data_actions=(
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
            "Microsoft.ContainerRegistry/registries/catalog/read",
        ),
    ),
    RoleDefinition(
        guid="b93aa761-3e63-49ed-ac28-beffa264f7ac",
        name="Container Registry Repository Reader",
        data_actions=(
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
        ),
    ),
    RoleDefinition(
        guid="2a1e307c-b015-4ebd-883e-5b7698a07328",
        name="Container Registry Repository Writer",
        data_actions=(
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.ContainerRegistry/registries/repositories/content/write",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/write",
        ),
    ),
    RoleDefinition(
        guid="2efddaa5-3f1f-4df3-97df-af3f13818f4c",
        name="Container Registry Repository Contributor",
        data_actions=(
            "Microsoft.ContainerRegistry/registries/repositories/content/delete",
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.ContainerRegistry/registries/repositories/content/write",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/delete",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/write",
        ),
    ),
    RoleDefinition(
        guid="bfdb9389-c9a5-478a-bb2f-ba9ca092c3c7",
        name="Container Registry Repository Catalog Lister",
        data_actions=("Microsoft.ContainerRegistry/registries/catalog/read",),
    ),
)
