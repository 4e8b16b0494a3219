#!/usr/bin/env bash
# The walkthrough's commands for any number of images, with a wait for their scans. az is signed in.
#
#     walkthrough.sh PARALLEL INTERVAL      PARALLEL is 1 for one import after another, as the page has them
#
# The directory holds pre-cluster-stamp.json, ingress.pem, images.txt (SOURCE PATH:TAG), and clone/, the cluster's
# repository. Where the page waits for nothing, a person would try again: the vault lets nobody in at once.
set -euo pipefail
parallel=$1 interval=$2
group=rg-bu0001a0005-centralus

output() { az deployment group show -g $group -n pre-cluster-stamp --query "properties.outputs.$1.value" -o tsv; }
until_done() { until "$@" >> retried.log 2>&1; do sleep "$interval"; done; }

spoke=$(az deployment group show -g rg-enterprise-networking-spokes-centralus -n spoke-BU0001A0005-01 --query properties.outputs.clusterVnetResourceId.value -o tsv)
az deployment group create -g $group -f pre-cluster-stamp.json -p targetVnetResourceId="$spoke" aksIngressControllerCertificate="$CERTIFICATE_BASE64" > deployed.json

quarantine=$(output quarantineContainerRegistryName)
xargs -P "$parallel" -L 1 sh -c 'az acr import --source "$1" -t "quarantine/$2" -n "$0"' "$quarantine" < images.txt

sed 's#^[^ ]* \(.*\):\(.*\)$#quarantine/\1 \2#' images.txt | "$PYTHON" -m benchmarks.comparison.scans "$quarantine.azurecr.io" "$interval"

live=$(output containerRegistryName)
xargs -P "$parallel" -L 1 sh -c 'az acr import --source "quarantine/$2" -r "$0" -t "live/$2" -n "$0"' "$live" < images.txt

vault=$(output keyVaultName)
assignment=$(az role assignment create --role a4417e6f-fecd-4de8-b567-7b0420556985 --assignee-principal-type ServicePrincipal --assignee-object-id "$PRINCIPAL_OBJECT_ID" --scope "$(az keyvault show --name "$vault" --query id -o tsv)" --query id -o tsv)
address=$(curl -s -4 https://ifconfig.io)
az keyvault network-rule add -n "$vault" --ip-address "$address" > rule.json
until_done az keyvault certificate import -f ingress.pem -n ingress-internal-aks-ingress-contoso-com-tls --vault-name "$vault"
az keyvault network-rule remove -n "$vault" --ip-address "$address" > rule.json
az role assignment delete --ids "$assignment"

client=$(output ingressClientid)
cd clone/cluster-manifests
grep -rl REPLACE_ME_WITH_YOUR_ACRNAME . | xargs sed -i "s/REPLACE_ME_WITH_YOUR_ACRNAME/$live/g"
git commit --quiet -a -m "Update bootstrap deployments to use images from my ACR instead of public container registries."
sed -i -e "s/KEYVAULT_NAME/$vault/" -e "s/KEYVAULT_TENANT/$AZURE_TENANT_ID/" -e "s/INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01/$client/" ingress-nginx/akv-tls-provider.yaml
git commit --quiet -a -m "Update SecretProviderClass to reference my ingress controller certificate."
git push --quiet
