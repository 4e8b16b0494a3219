// A certificate's life by @azure/keyvault-certificates: import, read, delete, recover, delete for good.
// Arguments: the vault's URL, a PEM file with certificate and key. Prints what each step showed.
import { readFile } from "node:fs/promises";
import { DefaultAzureCredential } from "@azure/identity";
import { CertificateClient } from "@azure/keyvault-certificates";

const [vault, file] = process.argv.slice(2);
const name = "by-node";
const client = new CertificateClient(vault, new DefaultAzureCredential());
const polling = { intervalInMs: 50 };

const policy = { issuerName: "Unknown", contentType: "application/x-pem-file" };
const imported = await client.importCertificate(name, await readFile(file), { policy, tags: { by: "node" } });
const read = await client.getCertificate(name);
await client.updateCertificateProperties(name, "", { tags: { by: "node", seen: "yes" } });
const { properties } = await client.getCertificateVersion(name, imported.properties.version);

const deleted = await (await client.beginDeleteCertificate(name, polling)).pollUntilDone();
const gone = await client.getCertificate(name).catch((error) => error);
const taken = await client.importCertificate(name, await readFile(file)).catch((error) => error);
await (await client.beginRecoverDeletedCertificate(name, polling)).pollUntilDone();
const names = [];
for await (const found of client.listPropertiesOfCertificates()) names.push(found.name);
await (await client.beginDeleteCertificate(name, polling)).pollUntilDone();
await client.purgeDeletedCertificate(name);

console.log(
  JSON.stringify({
    der: Buffer.from(read.cer).toString("base64"),
    contentType: read.policy.contentType,
    issuer: read.policy.issuerName,
    tags: properties.tags,
    recoveryId: deleted.recoveryId,
    recovered: names.includes(name),
    refusals: [gone, taken].map(({ code, statusCode }) => ({ code, statusCode })),
  }),
);
