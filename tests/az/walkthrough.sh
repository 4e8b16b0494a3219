#!/usr/bin/env bash
# The walkthrough's page "Prep for cluster bootstrapping": its commands in its order, as the page has them.
#
# What differs says why where it does. The directory it starts in is a clone of the cluster's repository; az is signed in,
# as a person or as a service principal. From earlier pages come INGRESS_CONTROLLER_CERTIFICATE_BASE64, TENANTID_AZURERBAC
# and the certificate's .pem file; for a service principal, PRINCIPAL_OBJECT_ID is its own object id.
#
# The page's && chains hide a failure from errexit: the test looks at what came of them.
set -euo pipefail

### Steps: deploy the bootstrapping resources

export RESOURCEID_VNET_CLUSTERSPOKE=$(az deployment group show -g rg-enterprise-networking-spokes-centralus -n spoke-BU0001A0005-01 --query properties.outputs.clusterVnetResourceId.value -o tsv)
echo RESOURCEID_VNET_CLUSTERSPOKE: $RESOURCEID_VNET_CLUSTERSPOKE

# Not pre-cluster-stamp.bicep: az would download the compiler. The deployment's name comes from the file's, and is the same.
az deployment group create -g rg-bu0001a0005-centralus -f pre-cluster-stamp.json -p targetVnetResourceId=${RESOURCEID_VNET_CLUSTERSPOKE} aksIngressControllerCertificate=${INGRESS_CONTROLLER_CERTIFICATE_BASE64}

### Steps: quarantine, release

ACR_NAME_QUARANTINE=$(az deployment group show -g rg-bu0001a0005-centralus -n pre-cluster-stamp --query properties.outputs.quarantineContainerRegistryName.value -o tsv)

az acr import --source docker.io/falcosecurity/falco-no-driver:0.39.2 -t quarantine/falcosecurity/falco-no-driver:0.39.2 -n $ACR_NAME_QUARANTINE         && \
az acr import --source docker.io/falcosecurity/falco-driver-loader:0.39.2 -t quarantine/falcosecurity/falco-driver-loader:0.39.2 -n $ACR_NAME_QUARANTINE && \
az acr import --source docker.io/falcosecurity/falcoctl:0.10.1 -t quarantine/falcosecurity/falcoctl:0.10.1 -n $ACR_NAME_QUARANTINE && \
az acr import --source docker.io/library/busybox:1.37.0 -t quarantine/library/busybox:1.37.0 -n $ACR_NAME_QUARANTINE                                     && \
az acr import --source ghcr.io/kubereboot/kured:1.14.0 -t quarantine/kubereboot/kured:1.14.0 -n $ACR_NAME_QUARANTINE                                     && \
az acr import --source registry.k8s.io/ingress-nginx/controller:v1.11.3 -t quarantine/ingress-nginx/controller:v1.11.3 -n $ACR_NAME_QUARANTINE && \
az acr import --source registry.k8s.io/ingress-nginx/kube-webhook-certgen:v1.4.4 -t quarantine/ingress-nginx/kube-webhook-certgen:v1.4.4 -n $ACR_NAME_QUARANTINE

ACR_NAME=$(az deployment group show -g rg-bu0001a0005-centralus -n pre-cluster-stamp --query properties.outputs.containerRegistryName.value -o tsv)

az acr import --source quarantine/falcosecurity/falco-no-driver:0.39.2 -r $ACR_NAME_QUARANTINE -t live/falcosecurity/falco-no-driver:0.39.2 -n $ACR_NAME         && \
az acr import --source quarantine/falcosecurity/falco-driver-loader:0.39.2 -r $ACR_NAME_QUARANTINE -t live/falcosecurity/falco-driver-loader:0.39.2 -n $ACR_NAME && \
az acr import --source quarantine/falcosecurity/falcoctl:0.10.1 -r $ACR_NAME_QUARANTINE -t live/falcosecurity/falcoctl:0.10.1 -n $ACR_NAME && \
az acr import --source quarantine/library/busybox:1.37.0 -r $ACR_NAME_QUARANTINE -t live/library/busybox:1.37.0 -n $ACR_NAME                                     && \
az acr import --source quarantine/kubereboot/kured:1.14.0 -r $ACR_NAME_QUARANTINE -t live/kubereboot/kured:1.14.0 -n $ACR_NAME                                   && \
az acr import --source quarantine/ingress-nginx/controller:v1.11.3 -r $ACR_NAME_QUARANTINE -t live/ingress-nginx/controller:v1.11.3 -n $ACR_NAME && \
az acr import --source quarantine/ingress-nginx/kube-webhook-certgen:v1.4.4 -r $ACR_NAME_QUARANTINE -t live/ingress-nginx/kube-webhook-certgen:v1.4.4 -n $ACR_NAME

az acr import --source docker.io/library/busybox:1.37.0 -t live/library/busybox:SkippedQuarantine -n $ACR_NAME

### Import the wildcard certificate for the AKS ingress controller to Azure Key Vault

KEYVAULT_NAME=$(az deployment group show --resource-group rg-bu0001a0005-centralus -n pre-cluster-stamp --query properties.outputs.keyVaultName.value -o tsv)
if [ "$(az account show --query user.type -o tsv)" = user ]; then
  TEMP_ROLEASSIGNMENT_TO_UPLOAD_CERT=$(az role assignment create --role a4417e6f-fecd-4de8-b567-7b0420556985 --assignee-principal-type user --assignee-object-id $(az ad signed-in-user show --query 'id' -o tsv) --scope $(az keyvault show --name $KEYVAULT_NAME --query 'id' -o tsv) --query 'id' -o tsv)
else
  # Nobody is signed in: Graph refuses, and the page's command cannot work. The object id has to come from elsewhere.
  if az ad signed-in-user show --query 'id' -o tsv 2> signed-in-user.txt; then exit 1; fi
  TEMP_ROLEASSIGNMENT_TO_UPLOAD_CERT=$(az role assignment create --role a4417e6f-fecd-4de8-b567-7b0420556985 --assignee-principal-type ServicePrincipal --assignee-object-id $PRINCIPAL_OBJECT_ID --scope $(az keyvault show --name $KEYVAULT_NAME --query 'id' -o tsv) --query 'id' -o tsv)
fi
echo TEMP_ROLEASSIGNMENT_TO_UPLOAD_CERT: $TEMP_ROLEASSIGNMENT_TO_UPLOAD_CERT

CURRENT_IP_ADDRESS=$(curl -s -4 https://ifconfig.io)
echo CURRENT_IP_ADDRESS: $CURRENT_IP_ADDRESS
az keyvault network-rule add -n $KEYVAULT_NAME --ip-address ${CURRENT_IP_ADDRESS}

az keyvault certificate import -f ingress-internal-aks-ingress-contoso-com-tls.pem -n ingress-internal-aks-ingress-contoso-com-tls --vault-name $KEYVAULT_NAME

# Not on the page: the test looks at the open vault.
curl -s https://sandbox.localhost/state > opened.json

az keyvault network-rule remove -n $KEYVAULT_NAME --ip-address ${CURRENT_IP_ADDRESS}
az role assignment delete --ids $TEMP_ROLEASSIGNMENT_TO_UPLOAD_CERT

### GitOps Kubernetes manifest updates

cd cluster-manifests

sed -i "s/REPLACE_ME_WITH_YOUR_ACRNAME/${ACR_NAME}/g" */kustomization.yaml

git commit -a -m "Update bootstrap deployments to use images from my ACR instead of public container registries."

INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01=$(az deployment group show --resource-group rg-bu0001a0005-centralus -n pre-cluster-stamp --query properties.outputs.ingressClientid.value -o tsv)
echo INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01: $INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01

sed -i -e "s/KEYVAULT_NAME/${KEYVAULT_NAME}/" -e "s/KEYVAULT_TENANT/${TENANTID_AZURERBAC}/" -e "s/INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01/${INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01}/" ingress-nginx/akv-tls-provider.yaml

git commit -a -m "Update SecretProviderClass to reference my ingress controller certificate."

git push
cd ..
