// Reading a registry and importing into it by @azure/arm-containerregistry.
// Arguments: resource group, registry. Prints what was read, and how a second import and a missing registry end.
import { ContainerRegistryManagementClient } from "@azure/arm-containerregistry";
import { DefaultAzureCredential } from "@azure/identity";

const [group, registry] = process.argv.slice(2);
const client = new ContainerRegistryManagementClient(new DefaultAzureCredential(), process.env.AZURE_SUBSCRIPTION_ID);

const names = [];
for await (const found of client.registries.list()) names.push(found.name);
const { loginServer, sku, publicNetworkAccess } = await client.registries.get(group, registry);

const parameters = {
  source: { registryUri: "registry.k8s.io", sourceImage: "ingress-nginx/kube-webhook-certgen:v1.4.4" },
  targetTags: ["quarantine/node/kube-webhook-certgen:v1.4.4"],
};
const options = { updateIntervalInMs: 50 };
await client.registries.importImage(group, registry, parameters, options);
const again = await client.registries.importImage(group, registry, parameters, options).catch((error) => error);
const missing = await client.registries.get(group, "acrabsent").catch((error) => error);

const refusals = [again, missing].map(({ code, statusCode }) => ({ code, statusCode }));
console.log(JSON.stringify({ names, loginServer, sku: sku.name, publicNetworkAccess, refusals }));
